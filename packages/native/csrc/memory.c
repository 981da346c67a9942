#include "engine.h"
#include <stdlib.h>
#include <string.h>

enum { LINE = 64 };

#ifdef _WIN32
#include <malloc.h>
static void *take_lines(size_t size) { return _aligned_malloc(size, LINE); }
static void give_lines(void *memory) { _aligned_free(memory); }
#else
static void *take_lines(size_t size) { return aligned_alloc(LINE, size); }
static void give_lines(void *memory) { free(memory); }
#endif

void *take(Allocation **owner, size_t *bytes, size_t most, size_t size) {
  /* Vectors may be loaded behind the end of what they need. */
  if (size > most || *bytes > most - size) return 0;
  const size_t whole = (size + 2 * LINE + LINE - 1) / LINE * LINE;
  char *memory = take_lines(whole);
  if (!memory) return 0;
  memset(memory, 0, whole);
  Allocation *allocation = (Allocation *)memory;
  allocation->next = *owner;
  *owner = allocation;
  *bytes += size;
  return memory + LINE;
}

void free_until(Allocation **owner, Allocation *mark) {
  while (*owner != mark) {
    Allocation *next = (*owner)->next;
    give_lines(*owner);
    *owner = next;
  }
}

void free_all(Allocation *first) { free_until(&first, 0); }
