/* SPDX-License-Identifier: Apache-2.0 */
/* Singular values by LAPACK, else by one-sided Jacobi rotations (Demmel 1997, alg. 5.13); QR by Gram-Schmidt, twice. */
#include "tensor/linalg.h"

#include "tensor/blas.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_SWEEPS = 60 };

static double dot(const double *a, const double *b, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

/* Rotates rows p and q of a [., n] by (c, s). */
static void rotate(double *p, double *q, int64_t n, double c, double s)
{
    for (int64_t i = 0; i < n; i++) {
        const double x = p[i], y = q[i];
        p[i] = c * x - s * y;
        q[i] = s * x + c * y;
    }
}

/* Makes the k rows of a [k, n] orthogonal by rotations, which v [k, k] (rows) collects. */
static bool orthogonalise(double *a, int64_t k, int64_t n, double *v)
{
    bool turned = true;
    for (int sweep = 0; sweep < MAX_SWEEPS && turned; sweep++) {
        turned = false;
        for (int64_t p = 0; p < k; p++)
            for (int64_t q = p + 1; q < k; q++) {
                double *x = a + p * n, *y = a + q * n;
                const double alpha = dot(x, x, n), beta = dot(y, y, n), gamma = dot(x, y, n);
                if (!isfinite(alpha + beta))
                    return false;
                if (fabs(gamma) <= 1e-15 * sqrt(alpha * beta))
                    continue;
                turned = true;
                const double zeta = (beta - alpha) / (2 * gamma);
                const double t = (zeta >= 0 ? 1 : -1) / (fabs(zeta) + sqrt(1 + zeta * zeta)), c = 1 / sqrt(1 + t * t);
                rotate(x, y, n, c, c * t);
                rotate(v + p * k, v + q * k, k, c, c * t);
            }
    }
    return true;
}

struct order { double value; int64_t at; };
static int by_value(const void *a, const void *b)
{
    const struct order *x = a, *y = b;
    return x->value < y->value ? 1 : x->value > y->value ? -1 : x->at < y->at ? -1 : x->at > y->at;
}

/* a [k, n], k <= n, element (i, j) at w[i * of_i + j * of_j]: left [k, r] and right [r, n], with the strides given. */
static bool jacobi(const float *w, int64_t k, int64_t n, int64_t of_i, int64_t of_j, int64_t r, float *left,
                   int64_t left_i, int64_t left_k, float *s, float *right, int64_t right_k, int64_t right_j)
{
    double *a = malloc(sizeof *a * (size_t) (k * n + 1)), *v = calloc((size_t) (k * k) + 1, sizeof *v);
    struct order *order = calloc((size_t) k + 1, sizeof *order);
    bool done = a != NULL && v != NULL && order != NULL;
    for (int64_t i = 0; i < k && done; i++) {
        v[i * k + i] = 1;
        for (int64_t j = 0; j < n; j++)
            a[i * n + j] = (double) w[i * of_i + j * of_j];
    }
    done = done && orthogonalise(a, k, n, v);
    for (int64_t i = 0; i < k && done; i++)
        order[i] = (struct order){ sqrt(dot(a + i * n, a + i * n, n)), i };
    if (done)
        qsort(order, (size_t) k, sizeof *order, by_value);
    /* V A = S right, so A = Vt S right: column m of the left factor is row m of V */
    for (int64_t m = 0; m < r && done; m++) {
        const int64_t at = order[m].at;
        s[m] = (float) order[m].value;
        for (int64_t i = 0; i < k; i++)
            left[i * left_i + m * left_k] = (float) v[at * k + i];
        for (int64_t j = 0; j < n; j++)
            right[m * right_k + j * right_j] = order[m].value > 0 ? (float) (a[at * n + j] / order[m].value) : 0;
    }
    free(a);
    free(v);
    free(order);
    return done;
}

#ifdef FIRN_HAVE_LAPACK
extern void sgesdd_(const char *job, const int *m, const int *n, float *a, const int *lda, float *s, float *u,
                    const int *ldu, float *vt, const int *ldvt, float *work, const int *lwork, int *iwork, int *info);

/* A row-major matrix is its transpose to LAPACK: what it calls u is our vt, and the reverse. */
static bool lapack(const float *w, int64_t rows, int64_t cols, int64_t r, float *u, float *s, float *vt)
{
    const int64_t k = rows < cols ? rows : cols;
    const int m = (int) cols, n = (int) rows, ld = (int) k, ask = -1;
    int info = 0, lwork;
    float size;
    sgesdd_("S", &m, &n, NULL, &m, NULL, NULL, &m, NULL, &ld, &size, &ask, NULL, &info);
    lwork = (int) size + 1;
    float *a = malloc(sizeof *a * (size_t) (rows * cols + 1)), *all = malloc(sizeof *all * (size_t) (k + 1));
    float *left = malloc(sizeof *left * (size_t) (cols * k + 1)), *right = malloc(sizeof *right * (size_t) (k * rows + 1));
    float *work = malloc(sizeof *work * (size_t) lwork);
    int *iwork = malloc(sizeof *iwork * (size_t) (8 * k + 1));
    bool done = info == 0 && a != NULL && all != NULL && left != NULL && right != NULL && work != NULL && iwork != NULL;
    if (done) {
        memcpy(a, w, sizeof *a * (size_t) (rows * cols));
        sgesdd_("S", &m, &n, a, &m, all, left, &m, right, &ld, work, &lwork, iwork, &info);
        done = info == 0;
    }
    for (int64_t i = 0; i < r && done; i++) {
        s[i] = all[i];
        memcpy(vt + i * cols, left + i * cols, sizeof *vt * (size_t) cols);
        for (int64_t j = 0; j < rows; j++)
            u[j * r + i] = right[j * k + i];
    }
    free(a);
    free(all);
    free(left);
    free(right);
    free(work);
    free(iwork);
    return done;
}
#endif

static bool is_finite(const float *w, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(w[i]))
            return false;
    return true;
}

bool firn_svd(const float *w, int64_t rows, int64_t cols, int64_t r, float *u, float *s, float *vt)
{
    if (!is_finite(w, rows * cols))
        return false;
#ifdef FIRN_HAVE_LAPACK
    if (rows < INT32_MAX && cols < INT32_MAX)
        return lapack(w, rows, cols, r, u, s, vt);
#endif
    return rows <= cols ? jacobi(w, rows, cols, cols, 1, r, u, r, 1, s, vt, cols, 1)
                        : jacobi(w, cols, rows, 1, cols, r, vt, 1, cols, s, u, 1, r);
}

/* Columns of x [n, r] become orthonormal; one that depends on those before it is replaced by what is left of a unit vector. */
static void gram_schmidt(double *x, int64_t n, int64_t r)
{
    for (int64_t k = 0; k < r; k++) {
        double first = 0;
        for (int64_t i = 0; i < n; i++)
            first += x[i * r + k] * x[i * r + k];
        first = sqrt(first);
        for (int64_t unit = -1; unit < n; unit++) {
            for (int64_t i = 0; i < n && unit >= 0; i++)
                x[i * r + k] = i == unit;
            for (int pass = 0; pass < 2; pass++)
                for (int64_t j = 0; j < k; j++) {
                    double sum = 0;
                    for (int64_t i = 0; i < n; i++)
                        sum += x[i * r + j] * x[i * r + k];
                    for (int64_t i = 0; i < n; i++)
                        x[i * r + k] -= sum * x[i * r + j];
                }
            double norm = 0;
            for (int64_t i = 0; i < n; i++)
                norm += x[i * r + k] * x[i * r + k];
            norm = sqrt(norm);
            if (norm <= (unit < 0 ? 1e-7 * first : 1e-3 / sqrt((double) n)))
                continue;
            for (int64_t i = 0; i < n; i++)
                x[i * r + k] /= norm;
            break;
        }
    }
}

/* Orthonormal columns in place of those of x [n, r]. */
static bool basis(float *x, int64_t n, int64_t r)
{
    double *columns = malloc(sizeof *columns * (size_t) (n * r + 1));
    for (int64_t i = 0; i < n * r && columns != NULL; i++)
        columns[i] = (double) x[i];
    if (columns != NULL)
        gram_schmidt(columns, n, r);
    for (int64_t i = 0; i < n * r && columns != NULL; i++)
        x[i] = (float) columns[i];
    free(columns);
    return columns != NULL;
}

bool firn_qr(const float *w, int64_t rows, int64_t cols, int64_t r, float *q, float *R)
{
    for (int64_t i = 0; i < rows; i++)
        memcpy(q + i * r, w + i * cols, sizeof *q * (size_t) r);
    if (!is_finite(w, rows * cols) || !basis(q, rows, r))
        return false;
    firn_sgemm(true, false, r, cols, rows, 1, q, r, w, cols, 0, R, cols);
    return true;
}

/* On w [m, n], m >= n, or its transpose: q spans what w does to random vectors; the rest is a small problem. */
bool firn_svd_random(const float *w, int64_t rows, int64_t cols, int64_t r, int n_iter, const float *start, float *u,
                     float *s, float *vt)
{
    const bool turned = cols > rows;
    const int64_t m = turned ? cols : rows, n = turned ? rows : cols;
    float *q = malloc(sizeof *q * (size_t) (m * r + 1)), *z = malloc(sizeof *z * (size_t) (n * r + 1));
    float *b = malloc(sizeof *b * (size_t) (r * n + 1)), *small = malloc(sizeof *small * (size_t) (r * r + 1));
    float *right = malloc(sizeof *right * (size_t) (r * n + 1));
    bool done = q != NULL && z != NULL && b != NULL && small != NULL && right != NULL && is_finite(w, rows * cols);
    if (done) {
        firn_sgemm(turned, false, m, r, n, 1, w, cols, start, r, 0, q, r);
        done = basis(q, m, r);
    }
    for (int i = 0; i < n_iter && done; i++) {
        firn_sgemm(!turned, false, n, r, m, 1, w, cols, q, r, 0, z, r);
        done = basis(z, n, r);
        firn_sgemm(turned, false, m, r, n, 1, w, cols, z, r, 0, q, r);
        done = done && basis(q, m, r);
    }
    if (done) { /* b = qt w [r, n] = small s right, w ~ (q small) s right */
        firn_sgemm(true, turned, r, n, m, 1, q, r, w, cols, 0, b, n);
        done = firn_svd(b, r, n, r, small, s, right);
    }
    if (done && !turned) {
        firn_sgemm(false, false, m, r, r, 1, q, r, small, r, 0, u, r);
        memcpy(vt, right, sizeof *vt * (size_t) (r * n));
    } else if (done) { /* wt = (q small) s right: u = rightt, vt = (q small)t */
        firn_sgemm(true, true, r, m, r, 1, small, r, q, r, 0, vt, m);
        for (int64_t i = 0; i < n; i++)
            for (int64_t k = 0; k < r; k++)
                u[i * r + k] = right[k * n + i];
    }
    free(q);
    free(z);
    free(b);
    free(small);
    free(right);
    return done;
}
