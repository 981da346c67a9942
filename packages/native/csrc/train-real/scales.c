/* XNOR-Net's K (Rastegari et al. 2016, equation 11): scales of sums from the magnitudes of what was binarized, forward and backward. */
#include "step.h"
#include <string.h>

/* Of image `n`, which is a position of a dense layer's: the mean over the window, what lies outside counted as 0. */
void find_scales(const RealLayer *layer, int n) {
  const RealLayer *before = layer - 1;
  if (layer->is_dense) {
    const float *magnitude = before->magnitude + (size_t)n * layer->sources;
    float sum = 0;
    for (int i = 0; i < layer->sources; i++) sum += magnitude[i];
    layer->k[n] = sum * (1.f / (float)layer->sources);
    return;
  }
  const float *magnitude = before->magnitude + (size_t)n * before->pixels, share = 1.f / (float)(layer->kernel * layer->kernel);
  float *k = layer->k + (size_t)n * layer->height * layer->width;
  for (int y = 0; y < layer->height; y++)
    for (int x = 0; x < layer->width; x++) {
      float sum = 0;
      for (int ky = 0; ky < layer->kernel; ky++) {
        const int row = y * layer->stride + ky - layer->pad;
        float of_row = 0;
        for (int kx = 0; kx < layer->kernel; kx++) {
          const int column = x * layer->stride + kx - layer->pad;
          if (row >= 0 && column >= 0 && row < layer->input_height && column < layer->input_width)
            of_row += magnitude[row * layer->input_width + column];
        }
        sum += of_row;
      }
      *k++ = sum * share;
    }
}

/* Of the scale at `place`: its blocks in order, and p, which holds the scale, divided by it. */
static float scale_gradient(const RealLayer *layer, int n, int place) {
  const size_t places = (size_t)layer->height * layer->width;
  const float k = layer->k[n * places + place];
  float sum = 0;
  for (int block = 0; block < layer->blocks; block++) sum += layer->dk[((size_t)n * layer->blocks + block) * places + place];
  return k > 0 ? sum / k : 0;
}

void find_magnitude_gradients(const RealLayer *layer, int n) {
  const RealLayer *before = layer - 1;
  const float of_channel = 1.f / (float)before->outputs;
  if (layer->is_dense) {
    float *dmagnitude = before->dmagnitude + (size_t)n * layer->sources;
    const float own = scale_gradient(layer, 0, n) * (1.f / (float)layer->sources) * of_channel;
    for (int i = 0; i < layer->sources; i++) dmagnitude[i] = own;
    return;
  }
  float *dmagnitude = before->dmagnitude + (size_t)n * before->pixels;
  const float share = 1.f / (float)(layer->kernel * layer->kernel);
  memset(dmagnitude, 0, before->pixels * sizeof *dmagnitude);
  for (int y = 0; y < layer->height; y++)
    for (int x = 0; x < layer->width; x++) {
      const float own = scale_gradient(layer, n, y * layer->width + x) * share * of_channel;
      for (int ky = 0; ky < layer->kernel; ky++)
        for (int kx = 0; kx < layer->kernel; kx++) {
          const int row = y * layer->stride + ky - layer->pad, column = x * layer->stride + kx - layer->pad;
          if (row >= 0 && column >= 0 && row < layer->input_height && column < layer->input_width)
            dmagnitude[row * layer->input_width + column] += own;
        }
    }
}
