// Package archtest holds the rules by which the packages of this module depend on each other, as tests: each rule is a row
// of a table with its reason. There is nothing to import here.
package archtest
