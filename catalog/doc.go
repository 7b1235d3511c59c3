// Package catalog finds research apps. A catalog is a folder of definition files, NAME/Singularity and
// NAME/Singularity.TAG, and nothing else; what an app is and asks for is read from the labels in its definition.
//
// There is the catalog built into the binary and any number of folders. Reading a catalog never executes anything and
// never reads more than it says: a definition over MaxDefinition or entries over MaxEntries are reported, not read. An
// entry that cannot be used is listed with its error, not hidden.
//
// It knows no screens and starts nothing.
package catalog
