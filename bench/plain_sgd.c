/* Stochastic gradient descent in plain C: what a net costs without any physics.
 *
 * The same net as the tiles hold, in float: a bias line of 1.0 in each layer, sigmoid, tanh or ReLU,
 * softmax with cross-entropy or half the squared error, one example at a time, updated in place. No
 * device, no noise, no converter. Written for -O3 -march=native -ffast-math: all inner loops run over
 * contiguous floats, rows begin on cache lines, inputs that are zero cost nothing, and the backward
 * pass and the update of a row share one visit of it.
 */

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__SSE__)
#include <xmmintrin.h>
#endif

enum { SIGMOID, TANH, RELU };
enum { CROSS_ENTROPY, SQUARED };

/* Floats of a cache line: rows are padded to it with zeros, which stay zero. */
#define LINE 16

typedef struct {
    int inputs;     /* without the bias line */
    int outputs;
    int stride;     /* floats of a row: outputs, padded */
    float *weights; /* [inputs + 1][stride]: by input line, the last one is the bias */
    float *value;   /* [stride]: pre-activations, then activations */
    float *error;   /* [stride]: of the loss by the pre-activations */
} Layer;

typedef struct {
    int layers;
    int activation;
    int loss;
    Layer layer[];
} Net;

static float *zeros(size_t count)
{
    float *block = aligned_alloc(LINE * sizeof(float), count * sizeof(float));
    if (block)
        memset(block, 0, count * sizeof(float));
    return block;
}

void plain_free(Net *net)
{
    for (int l = 0; l < net->layers; l++) {
        free(net->layer[l].weights);
        free(net->layer[l].value);
        free(net->layer[l].error);
    }
    free(net);
}

/* A net of zeros, NULL where memory ends; sizes[0..layers], inputs first. */
Net *plain_new(int layers, const int32_t *sizes, int activation, int loss)
{
    Net *net = calloc(1, sizeof(Net) + layers * sizeof(Layer));
    if (!net)
        return NULL;
    net->layers = layers;
    net->activation = activation;
    net->loss = loss;
    for (int l = 0; l < layers; l++) {
        Layer *layer = &net->layer[l];
        layer->inputs = sizes[l];
        layer->outputs = sizes[l + 1];
        layer->stride = (layer->outputs + LINE - 1) / LINE * LINE;
        layer->weights = zeros((size_t)(layer->inputs + 1) * layer->stride);
        layer->value = zeros(layer->stride);
        layer->error = zeros(layer->stride);
        if (!layer->weights || !layer->value || !layer->error) {
            plain_free(net);
            return NULL;
        }
    }
    return net;
}

/* Copy the weights of a layer in or out: [outputs][inputs + 1], the bias last, as a tile has them. */
void plain_load(Net *net, int number, const float *weights)
{
    Layer *layer = &net->layer[number];
    int lines = layer->inputs + 1;
    for (int i = 0; i < lines; i++)
        for (int o = 0; o < layer->outputs; o++)
            layer->weights[(size_t)i * layer->stride + o] = weights[(size_t)o * lines + i];
}

void plain_store(const Net *net, int number, float *weights)
{
    const Layer *layer = &net->layer[number];
    int lines = layer->inputs + 1;
    for (int i = 0; i < lines; i++)
        for (int o = 0; o < layer->outputs; o++)
            weights[(size_t)o * lines + i] = layer->weights[(size_t)i * layer->stride + o];
}

/* y += a x over whole cache lines. */
static inline void add_scaled(float *restrict y, float a, const float *restrict x, int stride)
{
    y = __builtin_assume_aligned(y, LINE * sizeof(float));
    x = __builtin_assume_aligned(x, LINE * sizeof(float));
    for (int o = 0; o < stride / LINE * LINE; o++)
        y[o] += a * x[o];
}

static inline float dot(const float *restrict x, const float *restrict y, int stride)
{
    float sum = 0;
    x = __builtin_assume_aligned(x, LINE * sizeof(float));
    y = __builtin_assume_aligned(y, LINE * sizeof(float));
    for (int o = 0; o < stride / LINE * LINE; o++)
        sum += x[o] * y[o];
    return sum;
}

/* Pre-activations of a layer. */
static void forward(const Layer *layer, const float *x)
{
    int stride = layer->stride;
    memcpy(layer->value, layer->weights + (size_t)layer->inputs * stride, stride * sizeof(float));
    for (int i = 0; i < layer->inputs; i++)
        if (x[i] != 0)
            add_scaled(layer->value, x[i], layer->weights + (size_t)i * stride, stride);
}

static void activate(int activation, float *restrict value, int count)
{
    if (activation == SIGMOID)
        for (int o = 0; o < count; o++)
            value[o] = 1 / (1 + expf(-value[o]));
    else if (activation == TANH)
        for (int o = 0; o < count; o++)
            value[o] = tanhf(value[o]);
    else
        for (int o = 0; o < count; o++)
            value[o] = value[o] > 0 ? value[o] : 0;
}

/* Multiply errors by the derivative, which comes from the activation itself. */
static void multiply_slope(int activation, float *restrict error, const float *restrict value,
                           int count)
{
    if (activation == SIGMOID)
        for (int o = 0; o < count; o++)
            error[o] *= value[o] * (1 - value[o]);
    else if (activation == TANH)
        for (int o = 0; o < count; o++)
            error[o] *= 1 - value[o] * value[o];
    else
        for (int o = 0; o < count; o++)
            error[o] = value[o] > 0 ? error[o] : 0;
}

/* The largest output, the first of equals. */
static int largest(const Layer *layer)
{
    int best = 0;
    for (int o = 1; o < layer->outputs; o++)
        if (layer->value[o] > layer->value[best])
            best = o;
    return best;
}

static void softmax_error(const Layer *last, int label)
{
    float top = last->value[largest(last)], sum = 0;
    for (int o = 0; o < last->outputs; o++)
        sum += last->error[o] = expf(last->value[o] - top);
    for (int o = 0; o < last->outputs; o++)
        last->error[o] /= sum;
    last->error[label] -= 1;
}

static void squared_error(const Net *net, const Layer *last, int label)
{
    /* A ReLU at the output would never learn where it is off: the output stays linear. */
    if (net->activation != RELU)
        activate(net->activation, last->value, last->outputs);
    memcpy(last->error, last->value, last->outputs * sizeof(float));
    last->error[label] -= 1;
    if (net->activation != RELU)
        multiply_slope(net->activation, last->error, last->value, last->outputs);
}

/* Results of the last layer. */
static void forward_all(const Net *net, const float *pixels)
{
    const float *x = pixels;
    for (int l = 0; l < net->layers; l++) {
        const Layer *layer = &net->layer[l];
        forward(layer, x);
        if (l < net->layers - 1)
            activate(net->activation, layer->value, layer->outputs);
        x = layer->value;
    }
}

static void train_one(const Net *net, const float *pixels, int label, float rate)
{
    const Layer *last = &net->layer[net->layers - 1];
    forward_all(net, pixels);
    if (net->loss == CROSS_ENTROPY)
        softmax_error(last, label);
    else
        squared_error(net, last, label);
    for (int l = net->layers - 1; l >= 0; l--) {
        const Layer *layer = &net->layer[l];
        const float *x = l ? layer[-1].value : pixels;
        float *below = l ? layer[-1].error : NULL;
        int stride = layer->stride;
        for (int i = 0; i < layer->inputs; i++) {
            float *row = layer->weights + (size_t)i * stride;
            if (below)
                below[i] = dot(row, layer->error, stride);
            if (x[i] != 0)
                add_scaled(row, -rate * x[i], layer->error, stride);
        }
        add_scaled(layer->weights + (size_t)layer->inputs * stride, -rate, layer->error, stride);
        if (below)
            multiply_slope(net->activation, below, x, layer->inputs);
    }
}

/* Train on examples, one after the other; pixels[count][inputs], labels below the outputs. */
void plain_train(Net *net, const float *pixels, const int32_t *labels, int64_t count, float rate)
{
#if defined(__SSE__)
    /* -ffast-math takes numbers near zero for zero in a program of its own; in a library it must not
     * do so to the program around it. 0x8040: flush results, and take operands for zero. */
    unsigned mode = _mm_getcsr();
    _mm_setcsr(mode | 0x8040);
#endif
    for (int64_t n = 0; n < count; n++)
        train_one(net, pixels + n * net->layer[0].inputs, labels[n], rate);
#if defined(__SSE__)
    _mm_setcsr(mode);
#endif
}

/* The class of each example: the largest result, the first of equals. */
void plain_predict(Net *net, const float *pixels, int32_t *classes, int64_t count)
{
    for (int64_t n = 0; n < count; n++) {
        forward_all(net, pixels + n * net->layer[0].inputs);
        classes[n] = largest(&net->layer[net->layers - 1]);
    }
}
