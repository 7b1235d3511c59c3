package singularity

import (
	"fmt"
	"strings"

	"github.com/spf13/pflag"
)

// option is one flag of a verb.
type option struct {
	long, short string
	// value is the flag's value, as a pointer to where it goes: *bool, *string, *int, *[]string, *map[string]string, or a
	// list whose commas belong to the values.
	value any
	// env are the names, without APPTAINER_ and the like, of variables that stand for the flag; those of one that is not there
	// are told of, too.
	env  []string
	help string
	// differs says in what the flag is not Apptainer's; empty: in nothing.
	differs string
	// absent says why there is no such flag: giving it is an error, with these words. value then tells whether it takes one.
	absent string
	hidden bool // a second name of another option, or one that says what is so anyway
}

// list is a flag that may occur several times, and whose values hold commas of their own.
type list []string

// refuse is the value of a flag that is not there.
type refuse struct {
	o    option
	bare bool
}

func (r *refuse) Set(string) error { return &absentError{r.o} }
func (r *refuse) Type() string     { return map[bool]string{true: "bool", false: "string"}[r.bare] }
func (r *refuse) String() string   { return "" }

// absentError is a flag that Apptainer has and this program does not.
type absentError struct{ option option }

func (e *absentError) Error() string {
	return "--" + e.option.long + " is not there: " + e.option.absent
}

// switchValue is a flag without a value. In the environment everything counts as yes but nothing, 0, false and no.
type switchValue struct{ to *bool }

func (s switchValue) Set(text string) error {
	*s.to = yes(text)
	return nil
}

func yes(text string) bool {
	switch strings.ToLower(text) {
	case "", "0", "f", "false", "n", "no", "off":
		return false
	}
	return true
}

func (s switchValue) Type() string     { return "bool" }
func (s switchValue) String() string   { return fmt.Sprint(s.to != nil && *s.to) }
func (s switchValue) IsBoolFlag() bool { return true }

// register makes flags of options.
func register(f *pflag.FlagSet, options []option) {
	for _, o := range options {
		if o.absent != "" {
			_, bare := o.value.(*bool)
			f.VarP(&refuse{o, bare}, o.long, o.short, o.help)
			if bare {
				f.Lookup(o.long).NoOptDefVal = "true"
			}
			f.Lookup(o.long).Hidden = true
			continue
		}
		switch v := o.value.(type) {
		case *bool:
			f.VarP(switchValue{v}, o.long, o.short, o.help)
			f.Lookup(o.long).NoOptDefVal = "true"
		case *string:
			f.StringVarP(v, o.long, o.short, *v, o.help)
		case *int:
			f.IntVarP(v, o.long, o.short, *v, o.help)
		case *list:
			f.StringArrayVarP((*[]string)(v), o.long, o.short, *v, o.help)
		case *[]string:
			f.StringSliceVarP(v, o.long, o.short, *v, o.help)
		case *map[string]string:
			f.StringToStringVarP(v, o.long, o.short, *v, o.help)
		default:
			panic(fmt.Sprintf("option %s: no flag can be made of a %T", o.long, o.value))
		}
		f.Lookup(o.long).Hidden = o.hidden
	}
}

// prefixes of the variables that stand for flags: of several the first that is set counts.
var prefixes = []string{"CARREL_", "APPTAINER_", "SINGULARITY_"}

// ownFolder is a variable of Carrel's own, the folder of its files, and so none that stands for --home.
const ownFolder = "CARREL_HOME"

// twins gives flags that were not given the values of their variables. A list that adds up (binds) is added to. Of variables
// of flags that are not there it says why.
func twins(f *pflag.FlagSet, options []option, lookup func(string) (string, bool), warn func(string, ...any)) error {
	given := map[any]bool{} // also under another name of the same
	for _, o := range options {
		given[o.value] = given[o.value] || o.absent == "" && f.Lookup(o.long).Changed
	}
	for _, o := range options {
		_, adds := o.value.(*list)
		if given[o.value] && !adds {
			continue
		}
		for _, name := range o.env {
			value, ok := "", false
			for _, prefix := range prefixes {
				if prefix+name == ownFolder {
					continue
				}
				if value, ok = lookup(prefix + name); ok {
					name = prefix + name
					break
				}
			}
			if !ok || value == "" {
				continue
			}
			if o.absent != "" {
				if _, bare := o.value.(*bool); !bare || yes(value) {
					warn("%s has no effect: there is no --%s, because %s", name, o.long, o.absent)
				}
				continue
			}
			if err := f.Set(o.long, value); err != nil {
				return fmt.Errorf("variable %s: %w", name, err)
			}
		}
	}
	return nil
}
