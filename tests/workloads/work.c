/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Work whose result is the same on every correct machine: threads, integers, floating point, vectors. Prints a
 * line for each piece; a guest's output must equal the host's.
 */
#include <immintrin.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define THREADS 4
#define ROUNDS	20000

static uint64_t mix(uint64_t h, uint64_t v)
{
	h ^= v;
	h *= 0x9e3779b97f4a7c15ull;
	return h ^ h >> 29;
}

static uint64_t random_next(uint64_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return *s;
}

/* -- threads: a mutex, a condition variable, atomics ---------------------------------------------- */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turn_changed = PTHREAD_COND_INITIALIZER;
static uint64_t guarded, turn, turns;
static atomic_ullong added, exchanged;

static void take_turn(uint64_t me)
{
	pthread_mutex_lock(&mutex);
	while (turn != me)
		pthread_cond_wait(&turn_changed, &mutex);
	turns = mix(turns, me);
	turn = (turn + 1) % THREADS;
	pthread_cond_broadcast(&turn_changed);
	pthread_mutex_unlock(&mutex);
}

static void *worker(void *arg)
{
	uint64_t me = (uint64_t)(uintptr_t)arg;

	for (unsigned i = 0; i < ROUNDS; i++) {
		unsigned long long old = atomic_load(&exchanged);

		pthread_mutex_lock(&mutex);
		guarded++;
		pthread_mutex_unlock(&mutex);
		atomic_fetch_add(&added, me + 1);
		while (!atomic_compare_exchange_weak(&exchanged, &old, old + 3))
			;
		if (i % 200 == 0)
			take_turn(me);
	}
	return NULL;
}

static void threads(void)
{
	pthread_t t[THREADS];

	for (uintptr_t i = 0; i < THREADS; i++)
		pthread_create(&t[i], NULL, worker, (void *)i);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	printf("threads %llu %llu %llu %016llx\n", (unsigned long long)guarded,
	       (unsigned long long)added, (unsigned long long)exchanged, (unsigned long long)turns);
}

/* -- processes ------------------------------------------------------------------------------------ */

static void processes(void)
{
	_Atomic uint64_t *shared =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	for (unsigned i = 0; i < 50; i++) {
		pid_t pid = fork();

		if (pid == 0) {
			atomic_fetch_add(shared, i);
			_exit((int)(i & 63));
		}
		int status = 0;

		waitpid(pid, &status, 0);
		atomic_fetch_add(shared, (uint64_t)WEXITSTATUS(status) << 32);
	}
	printf("processes %016llx\n", (unsigned long long)atomic_load(shared));
}

/* -- integers ------------------------------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void integers(void)
{
	enum { N = 50000 };
	static uint64_t v[N];
	uint64_t s = 88172645463325252ull, h = 0;

	for (unsigned i = 0; i < N; i++)
		v[i] = random_next(&s) % 1000003;
	qsort(v, N, sizeof(v[0]), compare);
	for (unsigned i = 0; i < N; i++)
		h = mix(h,
			v[i] / (i + 1) + v[i] % (i + 7) + (uint64_t)__builtin_popcountll(v[i] * s));
	printf("integers %016llx\n", (unsigned long long)h);
}

/* -- floating point ------------------------------------------------------------------------------- */

static void doubles(void)
{
	volatile double a = 1.5, b = 0.001;
	volatile long double c = 3.25L;
	volatile float f = 0.7f;
	uint64_t h = 0, bits;
	long double x = c;
	double d = a;

	for (int i = 1; i < 20000; i++) {
		d = d * 1.0000001 + b / i - (d > 2 ? 1 : 0);
		x = x * 0.999999L + 1.0L / i;
		f = f * 1.01f - (f > 3 ? 2.5f : 0.0f);
		memcpy(&bits, &d, 8);
		h = mix(h, bits);
		memcpy(&bits, &x, 8);
		h = mix(h, bits + (uint64_t)(int64_t)(x * 1000));
		h = mix(h, (uint64_t)(int64_t)(f * 1e6f));
	}
	printf("floats %016llx\n", (unsigned long long)h);
}

__attribute__((target("avx2,fma"))) static void vectors_avx2(void)
{
	__m256d acc = _mm256_setzero_pd(), k = _mm256_set_pd(1.25, -0.5, 3, 0.125);
	__m256i v = _mm256_set_epi64x(1, 2, 3, 4), w = _mm256_set1_epi32(0x01030507);
	uint64_t out[4], h = 0;

	for (int i = 0; i < 20000; i++) {
		acc = _mm256_fmadd_pd(acc, _mm256_set1_pd(0.9999), k);
		v = _mm256_add_epi64(_mm256_slli_epi32(v, 1), _mm256_xor_si256(v, w));
		v = _mm256_shuffle_epi8(v, _mm256_set1_epi64x(0x0001020304050607));
		w = _mm256_mullo_epi32(w, _mm256_set1_epi32(1664525));
	}
	_mm256_storeu_si256((__m256i *)out, v);
	for (int i = 0; i < 4; i++)
		h = mix(h, out[i]);
	_mm256_storeu_pd((double *)out, acc);
	for (int i = 0; i < 4; i++)
		h = mix(h, out[i]);
	printf("avx2 %016llx\n", (unsigned long long)h);
}

static void vectors_sse2(void)
{
	__m128i v = _mm_set_epi32(1, 2, 3, 4);
	uint64_t out[2];

	for (int i = 0; i < 50000; i++) {
		v = _mm_add_epi32(_mm_mullo_epi16(v, _mm_set1_epi16(17)), _mm_set1_epi32(i));
		v = _mm_xor_si128(v, _mm_srli_epi64(v, 5));
	}
	_mm_storeu_si128((__m128i *)out, v);
	printf("sse2 %016llx\n", (unsigned long long)mix(out[0], out[1]));
}

int main(int argc, char **argv)
{
	unsigned rounds = argc > 1 ? (unsigned)atoi(argv[1]) : 1;

	for (unsigned i = 0; i < rounds; i++) {
		threads();
		processes();
		integers();
		doubles();
		vectors_sse2();
		if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
			vectors_avx2();
	}
	fflush(stdout);
	return 0;
}
