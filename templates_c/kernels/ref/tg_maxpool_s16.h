/**
 * @file  tg_maxpool_s16.h
 * @brief Max pooling, int16. Padding never wins; a window wholly outside the image gives -32768.
 */
#ifndef TG_MAXPOOL_S16_H_INCLUDED
#define TG_MAXPOOL_S16_H_INCLUDED

#include "tg_platform.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    uint16_t in_h;
    uint16_t in_w;
    uint16_t channels;
    uint16_t out_h;
    uint16_t out_w;
    uint16_t k_h;
    uint16_t k_w;
    uint16_t stride_h;
    uint16_t stride_w;
    uint16_t dil_h;
    uint16_t dil_w;
    uint16_t pad_top;
    uint16_t pad_left;
} tg_maxpool_s16_cfg_t;

/**
 * x: [in_h][in_w][channels]; y: [out_h][out_w][channels], must not overlap x.
 */
void tg_maxpool_s16(const tg_maxpool_s16_cfg_t *cfg, const int16_t *x, int16_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_MAXPOOL_S16_H_INCLUDED */
