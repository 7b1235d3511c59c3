// Package shelf keeps the catalogs that a person added: folders of this computer, which are read as they are, and copies of
// git repositories, packed folders and indexes served over HTTP, which can be looked through without the network until they
// are updated.
//
// A copy is made completely, below bounds of size and number, before it takes the place of the one before; whatever
// interrupts that leaves the old one. Nothing of a copy is ever executed here, its links lead nowhere outside of it, and the
// programs and addresses of the person's git configuration are used only to talk to the repository itself.
//
// On disk a shelf is a folder with one folder for each catalog:
//
//	NAME/source.json     what was added, and which copy is the current one
//	NAME/copy-XXXXXX/    the copy
package shelf
