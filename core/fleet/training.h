#ifndef DSS_FLEET_TRAINING_H
#define DSS_FLEET_TRAINING_H
#include "base/buf.h"
#include "base/err.h"
#include "fleet/fleet.h"
/*
 * training: what the store knows of the trainings of models: tasks of type `train`, whose payload names project, model, session and algorithm.
 * How one is run is the fleet's, as for any task.
 */
#define TRAINING_TYPE "train"

/* json: an array, newest first, borrowed for the call; NULL: why says what failed. Each: {"task","project","owner","model","session","algorithm",
 * "modelId","name"?,"state","cause"?,"error"?,"result"?,"createdMs","startedMs"?,"endedMs"?,"future"?}; result: as far as it is small; future: of an
 * open one, what its owner reads. */
typedef void training_list_fn(void *data, const struct buf *json, const struct err *why);
/* project, model: NULL = of all. Calls fn once, later, or at once where it fails. */
void training_list(struct fleet *fleet, const char *project, const char *model, int limit, training_list_fn *fn, void *data);

#endif
