/* A pool of threads. They wait awake for a moment, because a step is many short pieces, and then sleep. */
#include "step.h"
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

/* Some microseconds to some tens of them, by processor: about what waking a thread takes. */
enum { PATIENCE = 2000 };

struct Pool {
  int threads;
  pthread_t *thread;
  pthread_mutex_t lock;
  pthread_cond_t begun;
  atomic_uint round; /* counts calls of run_tasks */
  atomic_int next, busy;
  int asleep, ends;
  Task task;
  void *context;
  int count;
};

typedef struct {
  Pool *pool;
  int number;
} Member;

static void relax(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

static void work(Pool *pool, int thread) {
  for (int index; (index = atomic_fetch_add(&pool->next, 1)) < pool->count;) pool->task(pool->context, index, thread);
}

static void *live(void *data) {
  const Member member = *(Member *)data;
  Pool *pool = member.pool;
  free(data);
  unsigned seen = 0;
  for (;;) {
    for (int i = 0; i < PATIENCE && atomic_load(&pool->round) == seen; i++) relax();
    if (atomic_load(&pool->round) == seen) {
      pthread_mutex_lock(&pool->lock);
      pool->asleep++;
      while (atomic_load(&pool->round) == seen) pthread_cond_wait(&pool->begun, &pool->lock);
      pool->asleep--;
      pthread_mutex_unlock(&pool->lock);
    }
    seen++;
    if (pool->ends) return 0;
    work(pool, member.number);
    atomic_fetch_sub(&pool->busy, 1);
  }
}

static void begin_round(Pool *pool) {
  pthread_mutex_lock(&pool->lock);
  atomic_fetch_add(&pool->round, 1);
  if (pool->asleep) pthread_cond_broadcast(&pool->begun);
  pthread_mutex_unlock(&pool->lock);
}

Pool *make_pool(int threads) {
  Pool *pool = calloc(1, sizeof *pool);
  if (!pool) return 0;
  pool->thread = calloc((size_t)threads, sizeof *pool->thread);
  pthread_mutex_init(&pool->lock, 0);
  pthread_cond_init(&pool->begun, 0);
  pool->threads = 1;
  while (pool->thread && pool->threads < threads) {
    Member *member = malloc(sizeof *member);
    if (!member) break;
    *member = (Member){pool, pool->threads};
    if (pthread_create(&pool->thread[pool->threads], 0, live, member)) {
      free(member);
      break;
    }
    pool->threads++;
  }
  if (pool->threads < threads) {
    free_pool(pool);
    return 0;
  }
  return pool;
}

void free_pool(Pool *pool) {
  if (!pool) return;
  pool->ends = 1;
  begin_round(pool);
  for (int i = 1; i < pool->threads; i++) pthread_join(pool->thread[i], 0);
  pthread_mutex_destroy(&pool->lock);
  pthread_cond_destroy(&pool->begun);
  free(pool->thread);
  free(pool);
}

void run_tasks(Pool *pool, Task task, void *context, int count) {
  if (pool->threads == 1 || count == 1) {
    for (int i = 0; i < count; i++) task(context, i, 0);
    return;
  }
  pool->task = task;
  pool->context = context;
  pool->count = count;
  atomic_store(&pool->next, 0);
  atomic_store(&pool->busy, pool->threads - 1);
  begin_round(pool);
  work(pool, 0);
  for (int i = 0; atomic_load(&pool->busy) > 0; i++)
    if (i < PATIENCE) relax();
    else {
      i = 0;
      sched_yield();
    }
}
