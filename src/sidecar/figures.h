/*
 * figures.h
 *		Numbers, money, shares, bars and sparklines as people read them.
 */
#ifndef ICO_FIGURES_H
#define ICO_FIGURES_H

#include <libpq-fe.h>
#include <stdbool.h>

typedef enum FigureKind
{
	FIGURE_WORD,
	FIGURE_COUNT,
	FIGURE_MONEY,				/* in the currency of its row */
	FIGURE_SHARE,				/* from 0 to 1, shown as percent */
	FIGURE_SPAN,				/* an interval as the style postgres writes it */
	FIGURE_BAR,					/* a number, against the largest of its currency */
} FigureKind;

typedef struct Figure
{
	const char *column;
	const char *label;
	FigureKind	kind;
	int			good;			/* 1: more is better, -1: less is, 0: neither */
} Figure;

/* How the terminal may be written to. */
typedef struct Look
{
	bool		utf8;
	bool		colours;
} Look;

extern Look look_of_terminal(void);
extern void title_print(const Look *look, const char *title);
extern char *figure_text(const Look *look, FigureKind kind, const char *value, const char *currency, double most);
extern char *change_text(FigureKind kind, const char *value, const char *before);
extern char *sparkline(const Look *look, const double *values, int n);
extern void figures_print(const Look *look, const PGresult *result, const Figure *figures, int n, const char *unless, int most);
extern void overview_print(const Look *look, const PGresult *now, const PGresult *before, const PGresult *days,
						   const Figure *figures, int n);

#endif							/* ICO_FIGURES_H */
