#include "tg_dwconv_s8_m0.h"

#include "tg_dwconv_plane.h"

TG_SHARED void tg_dwconv_s8_m0(const tg_dwconv_s8_cfg_t *cfg, const int8_t *x, const int8_t *w, const int32_t *b,
                               const int32_t *m, int16_t *scratch, int8_t *y)
{
    tg_dwconv_plane(cfg, x, w, b, m, scratch, y, tg_plane_out_narrow);
}
