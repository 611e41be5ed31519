/*
 * admin_files.h
 *		The admin's pages, as files that are part of the program.
 */
#ifndef ICO_ADMIN_FILES_H
#define ICO_ADMIN_FILES_H

#include "http.h"
#include "pool.h"

#define ADMIN_ROOT "/admin/"

typedef struct Admin Admin;

extern Admin *admin_new(const char *prefix, Pool *pool);
extern void admin_free(Admin *admin);
extern bool admin_find(Admin *admin, Request *request);

#endif							/* ICO_ADMIN_FILES_H */
