/* Counts what one thread asks of the interpreter's allocators: each block, and each time one is made larger or smaller.
 *
 *   cc -O2 -shared -fPIC -o allocations.so allocations.c
 *
 * Loaded into the interpreter itself. `hook` begins, `unhook` ends; in between, `allocations` grows. Only the interpreter's
 * documented interface is used, declared here so that its headers need not be installed.
 */
#include <pthread.h>
#include <stddef.h>

enum { MEM = 1, OBJECTS = 2, DOMAINS = 3 };

struct allocator { /* PyMemAllocatorEx */
    void *ctx;
    void *(*malloc)(void *ctx, size_t size);
    void *(*calloc)(void *ctx, size_t count, size_t size);
    void *(*realloc)(void *ctx, void *block, size_t size);
    void (*free)(void *ctx, void *block);
};

extern void PyMem_GetAllocator(int domain, struct allocator *allocator);
extern void PyMem_SetAllocator(int domain, struct allocator *allocator);

unsigned long long allocations;

static struct allocator original[DOMAINS];
static pthread_t watched;

static void count(void)
{
    allocations += pthread_equal(pthread_self(), watched) != 0;
}

static void *counted_malloc(void *ctx, size_t size)
{
    struct allocator *below = ctx;
    count();
    return below->malloc(below->ctx, size);
}

static void *counted_calloc(void *ctx, size_t number, size_t size)
{
    struct allocator *below = ctx;
    count();
    return below->calloc(below->ctx, number, size);
}

static void *counted_realloc(void *ctx, void *block, size_t size)
{
    struct allocator *below = ctx;
    count();
    return below->realloc(below->ctx, block, size);
}

static void passed_free(void *ctx, void *block)
{
    struct allocator *below = ctx;
    below->free(below->ctx, block);
}

void hook(void)
{
    watched = pthread_self();
    allocations = 0;
    for (int domain = MEM; domain <= OBJECTS; domain++) {
        PyMem_GetAllocator(domain, &original[domain]);
        struct allocator counting = {&original[domain], counted_malloc, counted_calloc, counted_realloc, passed_free};
        PyMem_SetAllocator(domain, &counting);
    }
}

void unhook(void)
{
    for (int domain = MEM; domain <= OBJECTS; domain++)
        PyMem_SetAllocator(domain, &original[domain]);
}
