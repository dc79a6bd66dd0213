#ifndef DSS_CTL_SPAN_H
#define DSS_CTL_SPAN_H
#include <stddef.h>
/* span: where a member's value stands in the text of a JSON object, so that a result is shown as the bytes it is. */

/* text must be valid JSON (somebody has parsed it). NULL: no object, or no such member at its top level. */
const char *span_member(const char *text, const char *key, size_t *len);

#endif
