package syntax

import (
	"path"
	"strings"
)

func words(s string) map[string]bool {
	m := map[string]bool{}
	for w := range strings.FieldsSeq(s) {
		m[w] = true
	}
	return m
}

var (
	double = quote{`"`, `"`, false, false}
	single = quote{`'`, `'`, false, false}
)

// grammars by the name of the language. They are made when the first file is shown.
func grammarOf(language string) *grammar {
	switch language {
	case "shell":
		return &grammar{line: []string{"#"}, begin: true, vars: true, quotes: []quote{{`"`, `"`, true, false}, {`'`, `'`, true, true}},
			words: words("if then elif else fi for while until do done case esac in function return exit local export readonly declare set unset shift exec eval trap cd source . break continue test [ ] [[ ]] true false")}
	case "Python":
		return &grammar{line: []string{"#"}, quotes: []quote{{`"""`, `"""`, true, false}, {`'''`, `'''`, true, false}, double, single},
			words: words("and as assert async await break case class continue def del elif else except finally for from global if import in is lambda match nonlocal not or pass raise return try while with yield None True False self")}
	case "R":
		return &grammar{line: []string{"#"}, quotes: []quote{{`"`, `"`, true, false}, {`'`, `'`, true, false}, {"`", "`", false, true}},
			words: words("if else repeat while function for in next break TRUE FALSE NULL NA NA_integer_ NA_real_ Inf NaN library require source return")}
	case "Julia":
		return &grammar{line: []string{"#"}, block: [][2]string{{"#=", "=#"}}, quotes: []quote{{`"""`, `"""`, true, false}, double},
			words: words("function end if else elseif for while begin let return using import export module struct mutable abstract type const do try catch finally in true false nothing quote macro where")}
	case "JavaScript":
		return &grammar{line: []string{"//"}, block: [][2]string{{"/*", "*/"}}, quotes: []quote{double, single, {"`", "`", true, false}},
			words: words("async await break case catch class const continue debugger default delete do else enum export extends false finally for from function if implements import in instanceof interface let new null of return static super switch this throw true try type typeof undefined var void while with yield")}
	case "C":
		return &grammar{line: []string{"//"}, block: [][2]string{{"/*", "*/"}}, quotes: []quote{double, single},
			words: words("auto bool break case catch char class const constexpr continue default delete do double else enum explicit extern false float fn for func go goto if impl import inline int interface let long loop map match mut namespace new nil null nullptr package private protected pub public range register return select short signed sizeof static struct switch template this throw trait true try type typedef typename union unsigned use using var virtual void volatile while #include #define #if #ifdef #ifndef #else #elif #endif #pragma")}
	case "CSS":
		return &grammar{block: [][2]string{{"/*", "*/"}}, quotes: []quote{double, single}, keys: ":", words: words("@media @import @font-face @keyframes !important")}
	case "HTML":
		return &grammar{block: [][2]string{{"<!--", "-->"}}, tags: true, quotes: []quote{{`"`, `"`, true, true}}}
	case "JSON":
		return &grammar{line: []string{"//"}, quotes: []quote{double}, keys: ":", words: words("true false null")}
	case "YAML":
		return &grammar{line: []string{"#"}, begin: true, quotes: []quote{double, {`'`, `'`, false, true}}, keys: ":", words: words("true false null yes no on off ~ - ---")}
	case "TOML":
		return &grammar{line: []string{"#", ";"}, begin: true, quotes: []quote{{`"""`, `"""`, true, false}, {`'''`, `'''`, true, true}, double, {`'`, `'`, false, true}}, keys: "=", words: words("true false")}
	case "SQL":
		return &grammar{line: []string{"--"}, block: [][2]string{{"/*", "*/"}}, quotes: []quote{single, double}, fold: true,
			words: words("select from where insert into values update set delete create table drop alter join left right inner outer on group by order having limit as and or not null primary key distinct union case when then else end")}
	case "LaTeX":
		return &grammar{line: []string{"%"}}
	case "Make":
		return &grammar{line: []string{"#"}, begin: true, vars: true, keys: ":=", quotes: []quote{double, single}}
	}
	return nil
}

// languages by the endings of files' names.
var languages = map[string]string{
	".sh": "shell", ".bash": "shell", ".zsh": "shell", ".ksh": "shell", ".env": "shell", ".profile": "shell", ".slurm": "shell", ".sbatch": "shell",
	".py": "Python", ".pyi": "Python", ".pyx": "Python", ".smk": "Python", ".r": "R", ".jl": "Julia",
	".js": "JavaScript", ".mjs": "JavaScript", ".ts": "JavaScript", ".jsx": "JavaScript", ".tsx": "JavaScript",
	".c": "C", ".h": "C", ".cc": "C", ".cpp": "C", ".hpp": "C", ".go": "C", ".rs": "C", ".java": "C", ".cu": "C", ".stan": "C", ".nf": "C", ".groovy": "C",
	".css": "CSS", ".scss": "CSS", ".html": "HTML", ".htm": "HTML", ".xml": "HTML", ".svg": "HTML", ".json": "JSON", ".geojson": "JSON",
	".yaml": "YAML", ".yml": "YAML", ".cff": "YAML", ".toml": "TOML", ".ini": "TOML", ".cfg": "TOML", ".conf": "TOML", ".desktop": "TOML", ".service": "TOML",
	".sql": "SQL", ".tex": "LaTeX", ".bib": "LaTeX", ".mk": "Make", ".md": "Markdown", ".rmd": "Markdown", ".qmd": "Markdown", ".markdown": "Markdown",
	".def": "definition",
}

// Language is the language of a file by its name, and by its first line where the name does not tell; empty when it is none
// that is known.
func Language(name, text string) string {
	base := path.Base(name)
	if l, ok := languages[strings.ToLower(path.Ext(base))]; ok {
		return l
	}
	switch {
	case strings.HasPrefix(base, "Singularity"):
		return "definition"
	case base == "Makefile":
		return "Make"
	case base == "Dockerfile", base == ".bashrc", base == ".profile":
		return "shell"
	case base == "os-release", base == "Snakefile":
		return map[string]string{"os-release": "shell", "Snakefile": "Python"}[base]
	}
	first, _, _ := strings.Cut(text, "\n")
	if !strings.HasPrefix(first, "#!") {
		return ""
	}
	for _, x := range [][2]string{{"python", "Python"}, {"Rscript", "R"}, {"node", "JavaScript"}, {"julia", "Julia"}, {"sh", "shell"}} {
		if strings.Contains(first, x[0]) {
			return x[1]
		}
	}
	return ""
}
