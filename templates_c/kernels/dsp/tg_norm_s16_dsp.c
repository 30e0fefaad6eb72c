#include "tg_norm_s16_dsp.h"

#include "tg_norm_dsp.h"

/** Of a row. */
typedef struct {
    int64_t squares; /**< n <= 16384: 2^44 at most */
    int32_t total;
} tg_sums_t;

/** Adds two values. */
static TG_INLINE void tg_sum_word(uint32_t v, tg_sums_t *sums)
{
    sums->total = tg_smlad(v, 0x00010001U, sums->total);
    sums->squares = tg_smlald(v, v, sums->squares);
}

/** Sums of each of some rows of n values, `step` from one to the next. */
static TG_NOINLINE void tg_sums_s16(const int16_t *x, uint32_t n, uint32_t step, uint32_t rows, tg_sums_t *sums)
{
    for (; rows > 0U; --rows) {
        const int16_t *p = x;
        tg_sums_t s = {0, 0};
        for (const int16_t *end = &x[n & ~7U]; p != end; p += 8) {
            const uint32_t a = tg_load32(p);
            const uint32_t b = tg_load32(&p[2]);
            const uint32_t c = tg_load32(&p[4]);
            const uint32_t d = tg_load32(&p[6]);
            tg_sum_word(a, &s);
            tg_sum_word(b, &s);
            tg_sum_word(c, &s);
            tg_sum_word(d, &s);
        }
        for (const int16_t *end = &x[n]; p != end; ++p) {
            s.total += *p;
            s.squares += *p * *p;
        }
        *sums = s;
        ++sums;
        x += step;
    }
}

/** From sums to factors, of some sets. Returns 0 when none is shifted right. */
static TG_NOINLINE int32_t tg_norm_factors_s16(const tg_norm_s16_cfg_t *cfg, const tg_sums_t *sums, uint32_t sets,
                                               tg_norm_row_t *out)
{
    const uint64_t add = ((uint64_t)cfg->add_high << 32) | cfg->add_low;
    const uint32_t n = cfg->reps * cfg->width;
    const uint32_t centre = cfg->centre;
    const uint32_t floor = cfg->floor;
    const uint32_t down = cfg->down;
    int32_t right = 0;
    for (; sets > 0U; --sets) {
        const int32_t total = (centre != 0U) ? sums->total : 0;
        uint64_t v = (n * (uint64_t)sums->squares) - (uint64_t)((int64_t)total * total);
        if (floor != 0U) {
            v = (v > add) ? v : add;
        } else {
            v += add;
        }
        *out = tg_norm_row(n, total, v, down);
        right |= out->down;
        ++sums;
        ++out;
    }
    return right;
}

#if TG_DSP_NAKED

/* the assembly reads the parameters */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"

#define TG_TWO(word) TG_NORM_TWO(word, "0", "16", "16", "strh", "2")
#define TG_EIGHT TG_NORM_WORDS TG_TWO("r7") TG_TWO("r8") TG_NORM_WORDS TG_TWO("r7") TG_TWO("r8")

static TG_NOINLINE TG_NAKED void tg_norm_eights_s16(const tg_norm_rows_t *rows)
{
    __asm__ volatile(TG_NORM_LOOPS(TG_EIGHT));
}

#pragma GCC diagnostic pop

#else

static void tg_norm_eights_s16(const tg_norm_rows_t *rows)
{
    const uint32_t step = (rows->bytes + rows->gap) / sizeof(int16_t);
    for (uint32_t r = 0U; r < rows->rows; ++r) {
        const tg_norm_row_t *row = &rows->row[(r * rows->next) / sizeof *row];
        const int16_t *x = &((const int16_t *)rows->x)[r * step];
        int16_t *y = &((int16_t *)rows->y)[r * step];
        for (uint32_t i = 0U; i < (rows->bytes / sizeof(int16_t)); ++i) {
            y[i] = (int16_t)tg_ssat16(tg_norm_row_value(row, x[i], &rows->w[2U * i], TG_NORM_SHIFT));
        }
    }
}

#endif

/** Rows of `width` values, `step` from one to the next, of one set (`next` 0) or of one each (1); none `right`: 0. */
static void tg_norm_rows_s16(const tg_norm_s16_cfg_t *cfg, const tg_norm_row_t *row, int32_t right, uint32_t next,
                            uint32_t rows, const int32_t *w, uint32_t step, const int16_t *x, int16_t *y)
{
    const uint32_t width = cfg->width;
    const uint32_t shift = cfg->shift;
    const uint32_t eights = ((shift == TG_NORM_SHIFT) && (right == 0)) ? (width & ~7U) : 0U;
    if (eights > 0U) {
        const uint32_t own = next * (uint32_t)sizeof *row;
        const tg_norm_rows_t all = {y, x, w, 2U * eights, 2U * (step - eights), row, own, rows};
        tg_norm_eights_s16(&all);
    }
    if (eights < width) {
        for (uint32_t r = 0U; r < rows; ++r) {
            const tg_norm_row_t own = row[r * next]; /* a copy: y may alias anything as far as the compiler knows */
            for (uint32_t i = eights; i < width; ++i) {
                const int32_t v = tg_norm_row_value(&own, x[(r * step) + i], &w[2U * i], shift);
                y[(r * step) + i] = (int16_t)tg_ssat16(v);
            }
        }
    }
}

/** Adds a column of n values to sums, `step` from one to the next. */
static void tg_sum_column_s16(const int16_t *x, uint32_t n, uint32_t step, tg_sums_t *all)
{
    tg_sums_t s = *all;
    for (uint32_t i = 0U; i < n; ++i) {
        const int32_t v = x[i * step];
        s.total += v;
        s.squares += v * v;
    }
    *all = s;
}

/** A column of n values, all with one pair. */
static void tg_norm_column_s16(const tg_norm_row_t *row, uint32_t shift, const int32_t *pair, uint32_t n,
                               uint32_t step, const int16_t *x, int16_t *y)
{
    const tg_norm_row_t own = *row; /* copies: y may alias anything as far as the compiler knows */
    const int32_t both[2] = {pair[0], pair[1]};
    for (uint32_t i = 0U; i < n; ++i) {
        y[i * step] = (int16_t)tg_ssat16(tg_norm_row_value(&own, x[i * step], both, shift));
    }
}

/** One set: `reps` rows, `columns` from one to the next. Short rows are taken column by column. */
static void tg_norm_set_s16(const tg_norm_s16_cfg_t *cfg, const int32_t *w, uint32_t columns, const int16_t *x,
                            int16_t *y)
{
    const uint32_t width = cfg->width;
    const uint32_t by_column = (width < 8U) ? width : 0U;
    const uint32_t rows = (by_column == 0U) ? cfg->reps : 0U;
    tg_sums_t sums[TG_NORM_ROWS];
    tg_sums_t all = {0, 0};
    tg_norm_row_t row;
    int32_t right;
    for (uint32_t c = 0U; c < by_column; ++c) {
        tg_sum_column_s16(&x[c], cfg->reps, columns, &all);
    }
    for (uint32_t r = 0U; r < rows; ++r) {
        const uint32_t i = r % TG_NORM_ROWS;
        if (i == 0U) {
            const uint32_t left = rows - r;
            tg_sums_s16(&x[r * columns], width, columns, (left < TG_NORM_ROWS) ? left : TG_NORM_ROWS, sums);
        }
        all.total += sums[i].total;
        all.squares += sums[i].squares;
    }
    right = tg_norm_factors_s16(cfg, &all, 1U, &row);
    for (uint32_t c = 0U; c < by_column; ++c) {
        tg_norm_column_s16(&row, cfg->shift, &w[2U * c], cfg->reps, columns, &x[c], &y[c]);
    }
    if (rows > 0U) {
        tg_norm_rows_s16(cfg, &row, right, 0U, rows, w, columns, x, y);
    }
}

TG_SHARED void tg_norm_s16_dsp(const tg_norm_s16_cfg_t *cfg, const int16_t *x, const int32_t *w, int16_t *y)
{
    const uint32_t width = cfg->width;
    const uint32_t columns = cfg->groups * width;
    if ((cfg->reps * cfg->groups) == 1U) { /* every row is a set */
        for (uint32_t o = 0U; o < cfg->outer; o += TG_NORM_ROWS) {
            const uint32_t left = cfg->outer - o;
            const uint32_t rows = (left < TG_NORM_ROWS) ? left : TG_NORM_ROWS;
            tg_sums_t sums[TG_NORM_ROWS];
            tg_norm_row_t row[TG_NORM_ROWS];
            int32_t right;
            tg_sums_s16(&x[o * width], width, width, rows, sums);
            right = tg_norm_factors_s16(cfg, sums, rows, row);
            tg_norm_rows_s16(cfg, row, right, 1U, rows, w, width, &x[o * width], &y[o * width]);
        }
    } else {
        for (uint32_t o = 0U; o < cfg->outer; ++o) {
            for (uint32_t g = 0U; g < columns; g += width) {
                const uint32_t at = (o * cfg->reps * columns) + g;
                tg_norm_set_s16(cfg, &w[2U * g], columns, &x[at], &y[at]);
            }
        }
    }
}
