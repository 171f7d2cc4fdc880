/* Where maps lie: memory is kept for the next one. To ask the system for fresh pages each time, and to touch them first,
   takes as long as many a layer. */

#include <stdlib.h>

#ifdef __GLIBC__
#include <malloc.h>
#endif

#define LARGEST_KEPT (32 << 20) /* bytes: larger ones leave gaps, and a training step has a third more at its peak */
#define MOST_KEPT (1 << 30)     /* bytes free at the end of the heap */

/* Does nothing where the C library is another than glibc. */
void keep_memory(void) {
#ifdef __GLIBC__
    mallopt(M_MMAP_THRESHOLD, LARGEST_KEPT);
    mallopt(M_TRIM_THRESHOLD, MOST_KEPT);
#endif
}
