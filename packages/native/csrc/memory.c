#include "engine.h"
#include <stdlib.h>
#include <string.h>

enum { LINE = 64 };

void *take(Allocation **owner, size_t *bytes, size_t most, size_t size) {
  /* Vectors may be loaded behind the end of what they need. */
  if (size > most || *bytes > most - size) return 0;
  const size_t whole = (size + 2 * LINE + LINE - 1) / LINE * LINE;
  char *memory = aligned_alloc(LINE, whole);
  if (!memory) return 0;
  memset(memory, 0, whole);
  Allocation *allocation = (Allocation *)memory;
  allocation->next = *owner;
  *owner = allocation;
  *bytes += size;
  return memory + LINE;
}

void free_all(Allocation *first) {
  while (first) {
    Allocation *next = first->next;
    free(first);
    first = next;
  }
}

void free_until(Allocation **owner, Allocation *mark) {
  while (*owner != mark) {
    Allocation *next = (*owner)->next;
    free(*owner);
    *owner = next;
  }
}
