// Package look finds out what is in an image without running anything of it: files, installed packages, what takes the
// space, and what differs from another image.
//
// It works on file systems as package image gives them; all that it reads is foreign, so it is bounded in size and depth,
// and a record that cannot be understood is left out rather than an error.
//
// Packages are found where their managers keep records: dpkg's status (deb-dpkg(1), dpkg(1)), apk's installed database,
// rpm's database in its three forms (SQLite, ndb, Berkeley DB hash), and by the folders that Python (PEP 376, core
// metadata), conda (conda-meta), R (DESCRIPTION) and npm (node_modules) leave anywhere in the tree.
package look
