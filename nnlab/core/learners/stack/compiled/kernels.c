/* A step of a stack as a program: a row of operations on fixed memory, done in one call from Python.

   What is done to each number by itself, and sums over rows, is done a tile of rows at a time for all operations of a
   group, so that a tile stays in the nearest cache from the first to the last of them. Matrix products are those of the
   library that torch itself calls. No operation rounds otherwise for where a number stands, so that a member has the
   same bits whatever stands beside it: no contraction to fused multiply-adds, no sums in an order that depends on more
   than the rows.

   Numbers are float32. dims n[0..2]: members, rows, width; strides in numbers, s[2] is 0 or 1.
*/
#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__clang__)
#define EACH _Pragma("clang loop vectorize(assume_safety)") for (int64_t i = 0; i < n; i++)
#else
#define EACH _Pragma("GCC ivdep") for (int64_t i = 0; i < n; i++)
#endif

typedef struct {
    int32_t code, length; /* length: operations of the group that begins here */
    int64_t n[3];
    float *p[4]; /* what is written, then what is read */
    int64_t s[4][3];
    double f[2];
    int64_t i[6];
} Op;

_Static_assert(sizeof(Op) == 224, "as ops.py packs it, which has addresses of 64 bits");

/* kept in step with NAMES in ops.py */
enum {
    COPY, FILL, MUL, SCALE, ADD, SHIFT, SUB, DIV, ADDCMUL, RELU, GATE, LEAKY, LEAKY_BACK, ELU, ELU_BACK, ELU_BACK_Y,
    SILU, SILU_BACK, GELU, GELU_BACK, TANH, TANH_BACK, NEG, EXP, SIGMOID, COS, SIN, ABS, SIGN, CLAMP, MAXIMUM, MINIMUM,
    RSQRT, SUM_ROWS, SUM_WIDTH,
    LAST_BY_NUMBER = SUM_WIDTH,
    PRODUCT, GATHER, PICK, LOG_SOFTMAX, MOVE, DRAW
};

enum { TILE = 2048 }; /* numbers of an operand at a time: what a few operands take stays in the nearest cache */
#define FAR 8192.0f /* angles up to which three parts of pi/2 leave a remainder that is exact enough */

typedef void (*Gemm)(const char *, const char *, const int *, const int *, const int *, const float *, const float *,
                     const int *, const float *, const int *, const float *, float *, const int *);

static Gemm gemm;

void set_gemm(void *found) { gemm = (Gemm)found; }

static inline float from_bits(int32_t bits) {
    union { int32_t i; float f; } both = {bits};
    return both.f;
}

static inline int32_t bits_of(float x) {
    union { float f; int32_t i; } both = {x};
    return both.i;
}

/* e^x, or less = 1: e^x - 1, to about one unit of the last place: e^x = 2^k e^r with |r| <= log(2) / 2, e^r by a
   polynomial (Cephes expf). */
static inline float exp_less(float x, int32_t less) {
    float cut = x < 88.72283f ? x : 88.72283f; /* also of what is no number, as whole parts of that are none */
    cut = cut < -87.33654f ? -87.33654f : cut;
    float k = __builtin_rintf(cut * 1.44269504088896341f);
    float r = cut - k * 0.693359375f;
    r = r - k * -2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r;
    int32_t whole = (int32_t)k;
    int32_t half = whole >> 1; /* 2^k in two factors, as 2^128 is none */
    float y = (p + 1.0f) * from_bits((half + 127) << 23) * from_bits((whole - half + 127) << 23);
    y = x > 88.72283f ? (float)INFINITY : y;
    y = x < -87.33654f ? 0.0f : y;
    y = less ? (whole ? y - 1.0f : p) : y;
    return x != x ? x : y;
}

static inline float exp_of(float x) { return exp_less(x, 0); }

/* log x of normal x > 0 (Cephes logf). */
static inline float log_of(float x) {
    int32_t bits = bits_of(x);
    int32_t e = ((bits >> 23) & 255) - 126;
    float m = from_bits((bits & 0x007fffff) | 0x3f000000); /* [0.5, 1) */
    int32_t low = m < 0.707106781186547524f;
    e -= low;
    m = low ? m + m - 1.0f : m - 1.0f;
    float z = m * m, k = (float)e;
    float p = 7.0376836292e-2f;
    p = p * m - 1.1514610310e-1f;
    p = p * m + 1.1676998740e-1f;
    p = p * m - 1.2420140846e-1f;
    p = p * m + 1.4249322787e-1f;
    p = p * m - 1.6668057665e-1f;
    p = p * m + 2.0000714765e-1f;
    p = p * m - 2.4999993993e-1f;
    p = p * m + 3.3333331174e-1f;
    float y = p * m * z + -2.12194440e-4f * k - 0.5f * z;
    y = m + y + 0.693359375f * k;
    y = x == (float)INFINITY ? x : y;
    return x != x ? x : y;
}

/* cos x (turn 1) or sin x (turn 0) of |x| < FAR: x = k pi/2 + r, then one of two polynomials (Cephes sinf). */
static inline float wave_of(float x, int32_t turn) {
    float k = __builtin_rintf(x * 0.636619772367581343f);
    float r = x - k * 1.5703125f;
    r = r - k * 4.83751296997070312e-4f;
    r = r - k * 7.54978995489188216e-8f;
    int32_t quarter = (int32_t)k + turn;
    float z = r * r;
    float s = -1.9515295891e-4f;
    s = s * z + 8.3321608736e-3f;
    s = s * z - 1.6666654611e-1f;
    s = s * z * r + r;
    float c = 2.443315711809948e-5f;
    c = c * z - 1.388731625493765e-3f;
    c = c * z + 4.166664568298827e-2f;
    c = c * z * z - 0.5f * z + 1.0f;
    float y = quarter & 1 ? c : s;
    return quarter & 2 ? -y : y;
}

/* The same of any numbers: those beyond, of which r would be none, by the library of C. */
static void waves(float *o, const float *a, int64_t step, int64_t n, int32_t turn) {
    int far = 0;
    for (int64_t i = 0; i < n; i++) far |= !(fabsf(a[i * step]) < FAR);
    if (!far && step) EACH o[i] = wave_of(a[i], turn);
    else
        for (int64_t i = 0; i < n; i++) {
            const float x = a[i * step];
            o[i] = fabsf(x) < FAR ? wave_of(x, turn) : turn ? cosf(x) : sinf(x);
        }
}

static inline float sigmoid_of(float x) { return 1.0f / (1.0f + exp_of(-x)); }

/* tanh x: near 0 by a polynomial, elsewhere by e^2x (Cephes tanhf). */
static inline float tanh_of(float x) {
    float size = x < 0.0f ? -x : x, z = x * x;
    float p = -5.70498872745e-3f;
    p = p * z + 2.06390887954e-2f;
    p = p * z - 5.37397155531e-2f;
    p = p * z + 1.33314422036e-1f;
    p = p * z - 3.33332819422e-1f;
    float near = p * z * x + x;
    float far = 1.0f - 2.0f / (exp_of(size + size) + 1.0f);
    far = x < 0.0f ? -far : far;
    return size < 0.625f ? near : far;
}

/* P(X <= x) of the normal distribution, by a rational function for its integral from 0 (as Eigen has it). */
static inline float normal_of(float x) {
    float u = x * 0.707106781186547524f;
    float z = u * u;
    z = z > 14.0169f ? 14.0169f : z;
    float p = 2.2905065861e-4f;
    p = p * z + 3.4082910107e-3f;
    p = p * z + 5.0955695062e-2f;
    p = p * z + 1.8520832240e-1f;
    p = p * z + 1.1283791435f;
    float q = -1.1791602954e-7f;
    q = q * z + 2.3547966471e-5f;
    q = q * z + 1.0179625279e-3f;
    q = q * z + 1.4070470171e-2f;
    q = q * z + 1.1098505178e-1f;
    q = q * z + 4.9746925110e-1f;
    q = q * z + 1.0f;
    float y = 0.5f + 0.5f * (u * p / q);
    return u > 3.7439211f ? 1.0f : u < -3.7439211f ? 0.0f : y; /* what is missing there is below the last place of 1 */
}

static inline float silu_slope(float x) {
    float s = sigmoid_of(x);
    return s * (1.0f + x * (1.0f - s));
}

static inline float density_of(float x) { return 0.398942280401432678f * exp_of(-0.5f * x * x); }

#define A(i) a[i]
#define A0(i) a0
#define B(i) b[i]
#define B0(i) b0
#define C(i) c[i]
#define C0(i) c0

/* An operation of one, two or three numbers; where an operand is the same along the width it is read once. */
#define ONE(E) { if (!sa) { const float a0 = *a; EACH { float x = A0(i); o[i] = (E); } } \
                 else EACH { float x = A(i); o[i] = (E); } } break
#define TWO(E) { if (sa && sb) EACH { float x = A(i), y = B(i); o[i] = (E); } \
                 else if (sa) { const float b0 = *b; EACH { float x = A(i), y = B0(i); o[i] = (E); } } \
                 else if (sb) { const float a0 = *a; EACH { float x = A0(i), y = B(i); o[i] = (E); } } \
                 else { const float a0 = *a, b0 = *b; EACH { float x = A0(i), y = B0(i); o[i] = (E); } } } break
#define THREE(E) { if (sa && sb && sc) EACH { float x = A(i), y = B(i), z = C(i); o[i] = (E); } \
                   else if (sa && sb) { const float c0 = *c; EACH { float x = A(i), y = B(i), z = C0(i); o[i] = (E); } } \
                   else for (int64_t i = 0; i < n; i++) { float x = a[i * sa], y = b[i * sb], z = c[i * sc]; o[i] = (E); } } break

static float sum_of(const float *a, int64_t n) {
    float lanes[16] = {0};
    int64_t i = 0;
    for (; i + 16 <= n; i += 16)
        for (int64_t j = 0; j < 16; j++) lanes[j] += a[i + j];
    for (int64_t j = 0; i + j < n; j++) lanes[j] += a[i + j];
    for (int64_t half = 8; half; half /= 2)
        for (int64_t j = 0; j < half; j++) lanes[j] += lanes[j + half];
    return lanes[0];
}

static void row(const Op *op, float *o, const float *a, const float *b, const float *c, int64_t n) {
    const int64_t sa = op->s[1][2], sb = op->s[2][2], sc = op->s[3][2];
    const float f = (float)op->f[0], g = (float)op->f[1];
    switch (op->code) {
        case COPY: ONE(x);
        case FILL: EACH o[i] = f; break;
        case MUL: TWO(x * y);
        case SCALE: ONE(x * f);
        case ADD: TWO(x + f * y);
        case SHIFT: ONE(x + f);
        case SUB: TWO(x - y);
        case DIV: TWO(x / y);
        case ADDCMUL: THREE(x + f * (y * z));
        case RELU: ONE(x < 0.0f ? 0.0f : x); /* keeps what is no number */
        case GATE: TWO(y <= 0.0f ? 0.0f : x);
        case LEAKY: ONE(x > 0.0f ? x : x * f);
        case LEAKY_BACK: TWO(y > 0.0f ? x : x * f);
        case ELU: ONE(x > 0.0f ? x * g : f * g * exp_less(x, 1));
        case ELU_BACK: TWO(y > 0.0f ? x * g : x * (f * g * exp_of(y)));
        case ELU_BACK_Y: TWO(y > 0.0f ? x * g : x * (y + f * g));
        case SILU: ONE(x * sigmoid_of(x));
        case SILU_BACK: TWO(x * silu_slope(y));
        case GELU: ONE(x * normal_of(x));
        case GELU_BACK: TWO(x * (normal_of(y) + y * density_of(y)));
        case TANH: ONE(tanh_of(x));
        case TANH_BACK: TWO(x * (1.0f - y * y));
        case NEG: ONE(-x);
        case EXP: ONE(exp_of(x));
        case SIGMOID: ONE(sigmoid_of(x));
        case COS: waves(o, a, sa, n, 1); break;
        case SIN: waves(o, a, sa, n, 0); break;
        case ABS: ONE(x < 0.0f ? -x : x);
        case SIGN: ONE((float)(x > 0.0f) - (float)(x < 0.0f));
        case CLAMP: ONE(x < f ? f : x > g ? g : x);
        case MAXIMUM: TWO(x < y || y != y ? y : x);
        case MINIMUM: TWO(x > y || y != y ? y : x);
        case RSQRT: ONE(1.0f / sqrtf(x));
        case SUM_WIDTH: *o = sum_of(a, n); break;
    }
}

/* Adds the sums over some rows to o. */
static void sum_rows(float *o, const float *a, int64_t step, int64_t rows, int64_t width) {
    for (int64_t at = 0; at < width; at += 64) {
        const int64_t n = width - at < 64 ? width - at : 64;
        float sums[64] = {0};
        const float *from = a + at;
        if (n == 64)
            for (int64_t r = 0; r < rows; r++, from += step)
                for (int64_t i = 0; i < 64; i++) sums[i] += from[i];
        else
            for (int64_t r = 0; r < rows; r++, from += step)
                for (int64_t i = 0; i < n; i++) sums[i] += from[i];
        for (int64_t i = 0; i < n; i++) o[at + i] += sums[i];
    }
}

static int in_one(const Op *op) {
    for (int j = 0; j < 4; j++) {
        const int64_t *s = op->s[j];
        if (op->p[j] && !(s[2] ? s[1] == op->n[2] : s[1] == 0)) return 0;
    }
    return 1;
}

/* One operation for rows r to end of member k, of which the numbers from column `at` are done. */
static void tile(const Op *op, int64_t k, int64_t r, int64_t end, int64_t at, int64_t n) {
    const float *from[4];
    for (int j = 0; j < 4; j++) {
        const int64_t *s = op->s[j];
        from[j] = op->p[j] ? op->p[j] + k * s[0] + r * s[1] + at * s[2] : 0;
    }
    if (op->code == SUM_ROWS) {
        if (r == 0) memset((float *)from[0], 0, n * sizeof(float));
        sum_rows((float *)from[0], from[1], op->s[1][1], end - r, n);
        return;
    }
    if (n == op->n[2] && op->code != SUM_WIDTH && in_one(op)) {
        row(op, (float *)from[0], from[1], from[2], from[3], (end - r) * n);
        return;
    }
    for (; r < end; r++) {
        row(op, (float *)from[0], from[1], from[2], from[3], n);
        for (int j = 0; j < 4; j++)
            if (from[j]) from[j] += op->s[j][1];
    }
}

static void by_tiles(const Op *ops) {
    const int64_t width = ops->n[2], rows = ops->n[1];
    int64_t high = TILE / (width ? width : 1);
    if (high < 1) high = 1;
    for (int64_t k = 0; k < ops->n[0]; k++)
        for (int64_t r = 0; r < rows; r += high) {
            const int64_t end = r + high < rows ? r + high : rows;
            if (rows > 1 || ops->code == SUM_WIDTH) {
                for (int32_t j = 0; j < ops->length; j++) tile(ops + j, k, r, end, 0, width);
                continue;
            }
            for (int64_t at = 0; at < width; at += TILE) { /* one long row */
                const int64_t n = width - at < TILE ? width - at : TILE;
                for (int32_t j = 0; j < ops->length; j++) tile(ops + j, k, r, end, at, n);
            }
        }
}

/* o = alpha a b + beta o for each member, rows of o one behind the other. n: rows, columns, inner; f: alpha, beta;
   i: members, strides of the lines of o, a and b, whether a and b lie turned. */
static void product(const Op *op) {
    const char ta = op->i[4] ? 'T' : 'N', tb = op->i[5] ? 'T' : 'N';
    const int m = (int)op->n[0], n = (int)op->n[1], inner = (int)op->n[2];
    const int lo = (int)op->i[1], la = (int)op->i[2], lb = (int)op->i[3];
    const float alpha = (float)op->f[0], beta = (float)op->f[1];
    /* BLAS has columns one behind the other: o' = b' a' */
    for (int64_t k = 0; k < op->i[0]; k++)
        gemm(&tb, &ta, &n, &m, &inner, &alpha, op->p[2] + k * op->s[2][0], &lb, op->p[1] + k * op->s[1][0], &la, &beta,
             op->p[0] + k * op->s[0][0], &lo);
}

/* Rows of a table, by their numbers. n: rows, bytes of a row. */
static void gather(const Op *op) {
    const int64_t *rows = (const int64_t *)op->p[2], n = op->n[0], size = op->n[1];
    char *o = (char *)op->p[0];
    const char *table = (const char *)op->p[1];
    if (size == 8) /* a size that is known is no call */
        for (int64_t i = 0; i < n; i++) memcpy(o + i * 8, table + rows[i] * 8, 8);
    else if (size == 4)
        for (int64_t i = 0; i < n; i++) memcpy(o + i * 4, table + rows[i] * 4, 4);
    else
        for (int64_t i = 0; i < n; i++) memcpy(o + i * size, table + rows[i] * size, size);
}

/* o[k, j, :] = a[k, rows[j], :], or with a stride other than 1, o[k, :, j] = a[k, :, rows[j]] of a small table. */
static void pick(const Op *op) {
    const int64_t *chosen = (const int64_t *)op->p[2];
    for (int64_t k = 0; k < op->n[0]; k++)
        for (int64_t j = 0; j < op->n[1]; j++) {
            float *o = op->p[0] + k * op->s[0][0] + j * op->s[0][1];
            const float *a = op->p[1] + k * op->s[1][0];
            if (op->i[0]) memcpy(o, a + chosen[j] * op->s[1][1], op->n[2] * sizeof(float));
            else
                for (int64_t i = 0; i < op->n[2]; i++) o[i] = a[j * op->s[1][1] + chosen[i]];
        }
}

/* z - log(sum of e^z) over the middle of three dims. */
static void log_softmax(const Op *op) {
    enum { WIDE = 256 };
    float most[WIDE], sums[WIDE];
    const int64_t classes = op->n[1];
    for (int64_t k = 0; k < op->n[0]; k++)
        for (int64_t at = 0; at < op->n[2]; at += WIDE) {
            const int64_t n = op->n[2] - at < WIDE ? op->n[2] - at : WIDE;
            float *o = op->p[0] + k * op->s[0][0] + at;
            const float *a = op->p[1] + k * op->s[1][0] + at;
            EACH { most[i] = a[i]; sums[i] = 0.0f; }
            for (int64_t c = 1; c < classes; c++) {
                const float *z = a + c * op->s[1][1];
                EACH most[i] = z[i] > most[i] || z[i] != z[i] ? z[i] : most[i];
            }
            for (int64_t c = 0; c < classes; c++) {
                const float *z = a + c * op->s[1][1];
                EACH sums[i] += exp_of(z[i] - most[i]);
            }
            EACH sums[i] = log_of(sums[i]);
            for (int64_t c = 0; c < classes; c++) {
                const float *z = a + c * op->s[1][1];
                float *y = o + c * op->s[0][1];
                EACH y[i] = z[i] - most[i] - sums[i];
            }
        }
}

/* A copy from one layout to another. n: and i[0], dims; the strides of the last are i[1], i[2]. */
static void move(const Op *op) {
    for (int64_t x = 0; x < op->n[0]; x++)
        for (int64_t y = 0; y < op->n[1]; y++)
            for (int64_t z = 0; z < op->n[2]; z++) {
                float *o = op->p[0] + x * op->s[0][0] + y * op->s[0][1] + z * op->s[0][2];
                const float *a = op->p[1] + x * op->s[1][0] + y * op->s[1][1] + z * op->s[1][2];
                const int64_t n = op->i[0], so = op->i[1], sa = op->i[2];
                if (so == 1) EACH o[i] = a[i * sa];
                else EACH o[i * so] = a[i * sa];
            }
}

/* Masks of dropout as Streams draws them: NumPy's SFC64 (Doty-Humphrey 2014), a byte for each value. n: values, words;
   i: bytes that are lost, and how many of 2^32 masks lose one more. */
static void draw(const Op *op) {
    uint64_t *state = (uint64_t *)op->p[1], *words = (uint64_t *)op->p[2];
    uint64_t a = state[0], b = state[1], c = state[2], count = state[3];
    const int64_t total = op->n[1] + 1, n = op->n[0];
    for (int64_t i = 0; i < total; i++) {
        const uint64_t drawn = a + b + count++;
        a = b ^ (b >> 11);
        b = c + (c << 3);
        c = ((c << 24) | (c >> 40)) + drawn;
        words[i] = drawn;
    }
    state[0] = a, state[1] = b, state[2] = c, state[3] = count;
    int64_t lost = op->i[0] + ((int64_t)(words[total - 1] >> 32) < op->i[1]);
    const uint8_t limit = lost > 255 ? 255 : (uint8_t)lost, *bytes = (const uint8_t *)words;
    float *o = op->p[0];
    EACH o[i] = bytes[i] >= limit ? 1.0f : 0.0f;
}

void run(const Op *ops, int64_t count) {
    for (int64_t at = 0; at < count; at += ops[at].length) {
        const Op *op = ops + at;
        switch (op->code) {
            case PRODUCT: product(op); break;
            case GATHER: gather(op); break;
            case PICK: pick(op); break;
            case LOG_SOFTMAX: log_softmax(op); break;
            case MOVE: move(op); break;
            case DRAW: draw(op); break;
            default: by_tiles(op);
        }
    }
}

/* What is stepped alike of a flat buffer: from start on, whose member it is, a factor on the step size, the decay. */
typedef struct {
    int64_t start, size, member;
    double factor, decay;
} Part;

/* Flat buffers and what Adam is given. made: steps so far. fixed: beta1, beta2, epsilon. */
typedef struct {
    float *values;
    const float *gradients;
    float *means, *squares, *made;
    const Part *parts;
    int64_t count, decoupled;
    double fixed[3];
} Adam;

_Static_assert(sizeof(Part) == 40 && sizeof(Adam) == 88, "as adam.py packs them");

/* A step of Adam by its formulas (Kingma and Ba 2015; decoupled decay: Loshchilov and Hutter 2019). lrs: of members. */
void adam(const Adam *op, const double *lrs) {
    const double *fixed = op->fixed;
    *op->made += 1.0f;
    const float keep_mean = (float)(1.0 - fixed[0]), beta2 = (float)fixed[1], keep_square = (float)(1.0 - fixed[1]);
    const float eps = (float)fixed[2], root = (float)(1.0 / sqrt(1.0 - pow(fixed[1], *op->made)));
    const double grown = 1.0 - pow(fixed[0], *op->made);
    for (const Part *part = op->parts; part < op->parts + op->count; part++) {
        float *w = op->values + part->start, *m = op->means + part->start, *v = op->squares + part->start;
        const float *g = op->gradients + part->start;
        const int64_t n = part->size;
        const double lr = lrs[part->member] * part->factor;
        const float size = (float)(lr / grown), shrunk = op->decoupled ? (float)(1.0 - lr * part->decay) : 1.0f;
        const float pull = op->decoupled ? 0.0f : (float)part->decay;
        EACH {
            const float slope = g[i] + pull * w[i];
            const float mean = m[i] + keep_mean * (slope - m[i]);
            const float square = v[i] * beta2 + keep_square * slope * slope;
            m[i] = mean;
            v[i] = square;
            w[i] = w[i] * shrunk - size * mean / (sqrtf(square) * root + eps);
        }
    }
}

/* Steps one after the other. batches: where the numbers of the rows of each step are, so many; they go into rows, from
   which the operations take them. lrs: of the members for each step. */
void train(const Op *ops, int64_t count, int64_t *rows, int64_t *const *batches, int64_t size, const Adam *op,
           const double *lrs, int64_t members, int64_t steps) {
    for (int64_t step = 0; step < steps; step++) {
        memcpy(rows, batches[step], size * sizeof(int64_t));
        run(ops, count);
        adam(op, lrs + step * members);
    }
}
