// Package widget holds the parts screens are made of: list, columns, log view, form fields, dialog, progress bar, help bar,
// palette. A widget is a plain struct with methods: it is given a size and a theme and returns a string that fills exactly
// that size, for any width and height from zero up; it takes keys only when it is handed one, and says whether it used it.
//
// Widths are cells as ansi.StringWidth counts them. Text that a file, a program or a registry wrote must go through Clean
// before it is drawn. Nothing here knows of engines or catalogs.
package widget
