package launch

import (
	"slices"
	"strconv"
	"strings"

	"carrel/engine/sandbox/plan"
)

const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Prefixes by which a variable is meant for the container: PREFIX + NAME sets NAME inside.
var forcePrefixes = []string{"SINGULARITYENV_", "APPTAINERENV_", "CARRELENV_"}

// private are the prefixes of variables that steer the engine and stay outside.
var private = []string{"SINGULARITY_", "APPTAINER_", "CARREL_", "SINGULARITYENV_", "APPTAINERENV_", "CARRELENV_"}

// ownValues are variables of the caller that mean nothing, or something else, in a container.
var ownValues = map[string]bool{
	"HOME": true, "PATH": true, "LD_LIBRARY_PATH": true, "LD_PRELOAD": true, "SHELL": true, "PWD": true, "OLDPWD": true, "SHLVL": true, "_": true,
	"PS1": true, "PROMPT_COMMAND": true, "XDG_RUNTIME_DIR": true,
}

// always are passed on also into a clean environment: without them a terminal or the way out of a site does not work.
var always = map[string]bool{
	"TERM": true, "COLORTERM": true, "TZ": true, "http_proxy": true, "https_proxy": true, "no_proxy": true, "all_proxy": true, "ftp_proxy": true,
	"HTTP_PROXY": true, "HTTPS_PROXY": true, "NO_PROXY": true, "ALL_PROXY": true, "FTP_PROXY": true,
}

// cleanLocale is the language of a clean environment: C, but with characters beyond ASCII, which Python and others refuse
// to write under plain C.
const cleanLocale = "C.UTF-8"

// baseEnv is what the image's environment scripts start from.
func baseEnv(o Options, u user) []string {
	env := []string{
		"PATH=" + defaultPath,
		"HOME=" + u.home,
		"USER=" + u.name,
		"LOGNAME=" + u.name,
	}
	for _, prefix := range []string{"APPTAINER_", "SINGULARITY_"} {
		env = append(env,
			prefix+"CONTAINER="+o.ImagePath,
			prefix+"NAME="+o.ImageName,
			prefix+"ENVIRONMENT=/.singularity.d/env/91-environment.sh",
			prefix+"BIND="+bindText(o.Binds),
		)
		// Apptainer has these only under the old prefix when there is something to say.
		if prefix == "APPTAINER_" || o.App != "" {
			env = append(env, prefix+"APPNAME="+o.App)
		}
	}
	env = append(env, "APPTAINER_COMMAND="+o.Action)
	if path := value(o.Host.Env, "PATH"); path != "" && !o.clean() {
		env = append(env, "USER_PATH="+path)
	}
	if o.clean() {
		env = append(env, "LANG="+cleanLocale)
	}
	if o.Safe {
		env = append(env, "TMPDIR=/tmp", "XDG_RUNTIME_DIR=/run/user/"+strconv.Itoa(u.uid))
	}
	return env
}

func (o Options) clean() bool { return o.CleanEnv || o.Safe }

func bindText(binds []Bind) string {
	var out []string
	for _, b := range binds {
		s := b.Source + ":" + b.Dest
		if b.ReadOnly {
			s += ":ro"
		}
		out = append(out, s)
	}
	return strings.Join(out, ",")
}

// passedOn are the caller's variables that the process gets where the image does not set them.
func passedOn(o Options, m mounts) []string {
	// Images of Singularity add this themselves; others need it for the libraries of --nv.
	out := []string{"LD_LIBRARY_PATH=" + libs}
	for _, kv := range o.Host.Env {
		k, v, ok := strings.Cut(kv, "=")
		if !ok || k == "" || ownValues[k] || hasPrefix(k, private) || slices.Contains(o.NoEnv, k) {
			continue
		}
		if k == "TMPDIR" && !m.visible(v) {
			continue // many programs give up when it is not there
		}
		if o.clean() && !always[k] {
			continue
		}
		out = append(out, kv)
	}
	return out
}

// forced are variables set whatever the image says: by prefix in the caller's environment, then by option.
func forced(o Options) []string {
	vars := map[string]string{}
	for _, prefix := range forcePrefixes {
		for _, kv := range o.Host.Env {
			k, v, _ := strings.Cut(kv, "=")
			name, ok := strings.CutPrefix(k, prefix)
			if ok && name != "" && name != "PREPEND_PATH" && name != "APPEND_PATH" {
				vars[name] = v
			}
		}
	}
	for k, v := range o.Env {
		if k != "PREPEND_PATH" && k != "APPEND_PATH" {
			vars[k] = v
		}
	}
	if v, ok := vars["LD_LIBRARY_PATH"]; ok && !strings.Contains(v, libs) {
		vars["LD_LIBRARY_PATH"] = strings.TrimSuffix(v, ":") + ":" + libs
	}
	var out []string
	for _, k := range sortedKeys(vars) {
		out = append(out, k+"="+vars[k])
	}
	return out
}

// pathPart is what the caller wants before or after the image's PATH: name is PREPEND_PATH or APPEND_PATH.
func pathPart(o Options, name string) string {
	if v, ok := o.Env[name]; ok {
		return v
	}
	return lookup(o.Host.Env, "CARRELENV_"+name, "APPTAINERENV_"+name, "SINGULARITYENV_"+name)
}

// visible tells whether a folder of the host is at the same place in the container.
func (m mounts) visible(dir string) bool {
	for _, op := range m.ops {
		if op.Kind == plan.OpBind && op.Source == op.Dest && within(dir, op.Dest) {
			return true
		}
	}
	return false
}

func hasPrefix(s string, prefixes []string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}

func value(env []string, key string) string {
	for _, kv := range env {
		if v, ok := strings.CutPrefix(kv, key+"="); ok {
			return v
		}
	}
	return ""
}

func lookup(env []string, keys ...string) string {
	for _, k := range keys {
		if v := value(env, k); v != "" {
			return v
		}
	}
	return ""
}
