/*
 * metrics.h
 *		Figures for Prometheus.
 */
#ifndef ICO_METRICS_H
#define ICO_METRICS_H

#include <stdio.h>

#include "send.h"

typedef struct Metrics Metrics;

extern Metrics *metrics_start(const char *address, const Sender *sender, Failure *failure);
extern int	metrics_fd(const Metrics *metrics);
extern int64_t metrics_serve(void *metrics);
extern void metrics_stop(Metrics *metrics);
extern void metrics_head(FILE *page, const char *name, const char *type, const char *help);
extern void metrics_put_queue(FILE *page, const QueueState *queue);

#endif							/* ICO_METRICS_H */
