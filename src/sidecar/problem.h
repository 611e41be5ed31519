/*
 * problem.h
 *		What went wrong with a request, as a problem document (RFC 9457).
 */
#ifndef ICO_PROBLEM_H
#define ICO_PROBLEM_H

#include "http.h"

/* A problem of our own finding; texts are constants or copied. */
typedef struct Problem
{
	int			status;
	const char *detail;			/* or NULL */
	const char *type;			/* the end of a urn:incomplete-orders:, or NULL: about:blank */
	const char *code;			/* SQLSTATE, or NULL */
	const char *hint;			/* or NULL */
	const char *field;			/* which member of the body is wrong, as in "steps[0].delay", or NULL */
	int			retry_after;	/* seconds, or 0 */
} Problem;

extern void problem_answer(Request *request, const Problem *problem);
extern void problem_refuse(Request *request, int status, const char *detail);
extern void problem_failure(Request *request, const Failure *failure);

#endif							/* ICO_PROBLEM_H */
