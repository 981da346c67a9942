/* Work on a thread of libuv's pool, and the promise of it. */
#include "addon.h"
#include <stdlib.h>

enum { MOST_KEPT = 6 };

typedef struct {
  void (*work)(void *data), (*done)(void *data);
  void *data;
  napi_async_work handle;
  napi_deferred deferred;
  int kept;
  napi_ref keep[MOST_KEPT];
} Job;

static void execute(napi_env env, void *data) {
  (void)env;
  const Job *job = data;
  job->work(job->data);
}

static void complete(napi_env env, napi_status status, void *data) {
  Job *job = data;
  job->done(job->data);
  napi_value nothing;
  napi_get_undefined(env, &nothing);
  if (status == napi_ok) napi_resolve_deferred(env, job->deferred, nothing);
  else napi_reject_deferred(env, job->deferred, nothing);
  for (int i = 0; i < job->kept; i++) napi_delete_reference(env, job->keep[i]);
  napi_delete_async_work(env, job->handle);
  free(job->data);
  free(job);
}

napi_value run_in_background(napi_env env, void (*work)(void *data), void (*done)(void *data), void *data, const napi_value *kept, int count) {
  napi_value promise = 0, name;
  Job *job = calloc(1, sizeof *job);
  if (!job || count > MOST_KEPT) {
    done(data);
    free(data);
    free(job);
    return fail(env, "there is no memory left");
  }
  job->work = work;
  job->done = done;
  job->data = data;
  job->kept = count;
  for (int i = 0; i < count; i++) napi_create_reference(env, kept[i], 1, &job->keep[i]);
  napi_create_promise(env, &job->deferred, &promise);
  napi_create_string_utf8(env, "cbnn", NAPI_AUTO_LENGTH, &name);
  napi_create_async_work(env, 0, name, execute, complete, job, &job->handle);
  napi_queue_async_work(env, job->handle);
  return promise;
}
