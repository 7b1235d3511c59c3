package singularity

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"golang.org/x/term"

	"carrel/engine"
)

// Accounts is who one is at registries, as flags say. Config.Engine looks at it.
type Accounts struct {
	AuthFile string // the only file with passwords, as Docker's config.json
	Login    *engine.RegistryLogin
	Library  string // address of the library, instead of the configured one
}

// access are flags about registries that several verbs have.
type access struct {
	noHTTPS     bool
	dockerLogin bool
	authFile    string
	library     string
	user        string
	password    string
}

func (a *access) authFileOption() option {
	return option{long: "authfile", value: &a.authFile, env: []string{"AUTH_FILE"}, help: "a file with passwords, as Docker's config.json, instead of those that are there"}
}

func (a *access) userOption() option {
	return option{long: "docker-username", value: &a.user, help: "name for the registry", hidden: true}
}

func (a *access) passwordOption() option {
	return option{long: "docker-password", value: &a.password, help: "password for the registry, which everybody can read in the list of processes", hidden: true}
}

func (a *access) options() []option {
	return []option{
		a.authFileOption(),
		{long: "docker-host", value: &noText, env: []string{"DOCKER_HOST"}, absent: noDaemon},
		{long: "docker-login", value: &a.dockerLogin, env: []string{"DOCKER_LOGIN"}, help: "ask for a name and password for the registry"},
		a.userOption(), a.passwordOption(),
		{long: "library", value: &a.library, env: []string{"LIBRARY"}, help: "address of the library for library:// references"},
		{long: "no-https", value: &a.noHTTPS, env: []string{"NO_HTTPS", "NOHTTPS"}, help: "speak HTTP to the registry"},
	}
}

// apply makes what the flags say known to the engine that is made next.
func (p *program) apply(a *access) error {
	if p.c.Accounts == nil {
		p.c.Accounts = &Accounts{}
	}
	to := p.c.Accounts
	if a.authFile != "" {
		to.AuthFile = absolute(a.authFile, p.c.User.Cwd)
	}
	if to.Library = a.library; to.Library != "" && !strings.Contains(to.Library, "://") {
		to.Library = "https://" + to.Library
	}
	if !a.dockerLogin && a.user == "" && a.password == "" {
		return nil
	}
	login, err := p.askLogin(a.user, a.password)
	if err == nil {
		to.Login = &login
	}
	return err
}

// askLogin asks for what is not given of a name and password.
func (p *program) askLogin(user, password string) (engine.RegistryLogin, error) {
	l := engine.RegistryLogin{User: user, Password: password}
	if (l.User == "" || l.Password == "") && !term.IsTerminal(int(p.c.In.Fd())) {
		return l, usage("Give them as --username NAME --password-stdin", "there is no terminal to ask for the name and password")
	}
	if l.User == "" {
		fmt.Fprint(p.c.Err, "Enter Username: ")
		line, err := bufio.NewReader(io.LimitReader(p.c.In, maxPassword)).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return l, fmt.Errorf("read name: %w", err)
		}
		l.User = strings.TrimSpace(line)
	}
	if l.Password == "" {
		fmt.Fprint(p.c.Err, "Enter Password / Token: ")
		text, err := term.ReadPassword(int(p.c.In.Fd()))
		fmt.Fprintln(p.c.Err)
		if err != nil {
			return l, fmt.Errorf("read password: %w", err)
		}
		l.Password = string(text)
	}
	if l.User == "" || l.Password == "" {
		return l, usage("", "the name or the password is empty")
	}
	return l, nil
}

// noSignatures is why a signature can neither be asked for nor be missed.
const noSignatures = "signatures are not asked for"

const maxPassword = 64 << 10 // bytes

func (p *program) pullVerb() verb {
	var s engine.PullSpec
	var dir, arch, variant, name, temp string
	var noCleanup, disableCache, unsigned, reproducible bool
	a := &access{}
	return verb{
		name: "pull", args: "[OPTION …] [FILE] REFERENCE", short: "Make an image of what a registry has", low: 1, high: 2, interspersed: true,
		differs: "layers are kept in Carrel's cache; library:// only where such a service still answers, shub:// nowhere",
		options: append([]option{
			{long: "allow-unauthenticated", value: &unsigned, env: []string{"ALLOW_UNAUTHENTICATED"}, help: "without effect", differs: noSignatures, hidden: true},
			{long: "allow-unsigned", short: "U", value: &unsigned, env: []string{"ALLOW_UNSIGNED"}, help: "without effect", differs: noSignatures, hidden: true},
			{long: "arch", value: &arch, env: []string{"PULL_ARCH"}, help: "for another processor"},
			{long: "arch-variant", value: &variant, env: []string{"PULL_ARCH_VARIANT"}, help: "variant of the processor"},
			{long: "dir", value: &dir, env: []string{"PULLDIR", "PULLFOLDER"}, help: "folder to put the image in"},
			{long: "disable-cache", value: &disableCache, env: []string{"DISABLE_CACHE"}, help: "without effect", differs: "`cache clean` empties the cache"},
			{long: "force", short: "F", value: &s.Force, env: []string{"FORCE"}, help: "replace an image"},
			{long: "name", value: &name, env: []string{"PULL_NAME"}, help: "the same as FILE", hidden: true},
			{long: "no-cleanup", value: &noCleanup, env: []string{"NO_CLEANUP"}, help: "without effect", differs: "nothing is left to be cleaned up"},
			{long: "reproducible", value: &reproducible, env: []string{"REPRODUCIBLE"}, help: "without effect", differs: "an image made by `build --reproducible` has the same bytes each time"},
			{long: "sandbox", value: &s.Sandbox, env: []string{"SANDBOX"}, help: "make a folder"},
			{long: "tmpdir", value: &temp, env: []string{"TMPDIR"}, help: "without effect", differs: noTemp, hidden: true},
		}, a.options()...),
		run: func(ctx context.Context, args []string) error {
			s.Ref = args[len(args)-1]
			if !strings.Contains(s.Ref, ":") { // Apptainer's transport for a bare name
				s.Ref = "library://" + s.Ref
			}
			s.Target = engine.PulledName(s.Ref, s.Sandbox)
			if name != "" {
				s.Target = name
			}
			if len(args) == 2 {
				s.Target = args[0]
			}
			if dir != "" {
				s.Target = filepath.Join(dir, filepath.Base(s.Target))
			}
			s.Target = absolute(s.Target, p.c.User.Cwd)
			if arch != "" {
				s.Platform = strings.TrimSuffix("linux/"+arch+"/"+variant, "/")
			}
			if err := p.apply(a); err != nil {
				return err
			}
			e, err := p.engine(a.noHTTPS, s.Ref)
			if err != nil {
				return err
			}
			got, err := e.Pull(ctx, s, p.sink())
			if errors.Is(err, engine.ErrExists) {
				return &hintError{err, "add --force to replace it"}
			}
			if err != nil {
				return err
			}
			if got.Digest != "" {
				p.info("Digest: %s", got.Digest)
			}
			p.info("Pulled %s", got.Path)
			return nil
		},
	}
}

func (p *program) pushVerb() verb {
	unsigned := true
	a := &access{}
	return verb{
		name: "push", args: "[OPTION …] IMAGE REFERENCE", short: "Put an image into a registry", low: 2, high: 2, interspersed: true,
		differs: "also to docker://, as a container image of one layer; there is no pushing to a library",
		options: []option{
			{long: "allow-unsigned", short: "U", value: &unsigned, env: []string{"ALLOW_UNSIGNED"}, help: "without effect, because no signature is asked for"},
			{long: "annotation", value: &noText, absent: "the manifest has the file's name only; what an image says of itself is in its labels"},
			a.authFileOption(),
			{long: "description", short: "D", value: &noText, absent: "libraries have descriptions; an image's own is its label org.opencontainers.image.description"},
			{long: "docker-host", value: &noText, env: []string{"DOCKER_HOST"}, absent: noDaemon},
			a.userOption(), a.passwordOption(),
			{long: "library", value: &noText, env: []string{"LIBRARY"}, absent: "libraries are accounts of a service; oras:// keeps SIF files in any registry"},
			{long: "no-https", value: &a.noHTTPS, env: []string{"NO_HTTPS", "NOHTTPS"}, help: "speak HTTP to the registry"},
		},
		run: func(ctx context.Context, args []string) error {
			if err := p.apply(a); err != nil {
				return err
			}
			e, err := p.engine(a.noHTTPS, args[1])
			if err != nil {
				return err
			}
			sent, err := e.Push(ctx, args[0], args[1], p.sink())
			if err != nil {
				return err
			}
			p.info("Digest: %s", sent.Digest)
			p.info("Upload complete: %d of %d bytes were sent, the registry had the rest", sent.Uploaded, sent.Size)
			return nil
		},
	}
}

// loginFlags are those of registry login and remote login.
type loginFlags struct {
	access
	user, password string
	fromInput      bool
}

func (p *program) loginVerb(args, short, differs string) verb {
	f := &loginFlags{}
	return verb{
		name: "login", args: args, short: short, low: 1, high: 1, interspersed: true, differs: differs,
		options: []option{
			f.authFileOption(),
			{long: "username", short: "u", value: &f.user, env: []string{"LOGIN_USERNAME"}, help: "name of the account"},
			{long: "password", short: "p", value: &f.password, env: []string{"LOGIN_PASSWORD"}, help: "password or token", differs: "it works with a warning: other users of the computer can read command lines"},
			{long: "password-stdin", value: &f.fromInput, help: "read the password from standard input"},
		},
		run: func(ctx context.Context, args []string) error {
			if !isRegistryAddress(args[0]) {
				return usage("Give a registry, as docker://ghcr.io", "%s: there is no such service to log in to", args[0])
			}
			if f.fromInput {
				data, err := io.ReadAll(io.LimitReader(p.c.In, maxPassword))
				if err != nil {
					return fmt.Errorf("read password: %w", err)
				}
				f.password = strings.TrimRight(string(data), "\r\n")
			} else if f.password != "" {
				p.warn("a password on the command line can be read by other users; use --password-stdin")
			}
			login, err := p.askLogin(f.user, f.password)
			if err != nil {
				return err
			}
			if err := p.apply(&f.access); err != nil {
				return err
			}
			e, err := p.c.Engine()
			if err != nil {
				return err
			}
			path, err := e.Login(ctx, args[0], login)
			if err != nil {
				return err
			}
			p.info("Token stored in %s", path)
			return nil
		},
	}
}

// isRegistryAddress tells whether an argument is a registry's address rather than the name of a service.
func isRegistryAddress(text string) bool {
	for _, scheme := range []string{"docker://", "oras://"} {
		if strings.HasPrefix(text, scheme) {
			return true
		}
	}
	return !strings.Contains(text, "://") && strings.ContainsAny(text, ".:")
}

func (p *program) logoutVerb(args string) verb {
	a := &access{}
	return verb{
		name: "logout", args: args, short: "Remove the stored password for a registry", low: 1, high: 1, interspersed: true,
		options: []option{a.authFileOption()},
		run: func(_ context.Context, args []string) error {
			if err := p.apply(a); err != nil {
				return err
			}
			e, err := p.c.Engine()
			if err != nil {
				return err
			}
			elsewhere, err := e.Logout(args[0])
			if err != nil {
				return err
			}
			for _, path := range elsewhere {
				p.warn("a password for it is still in %s", path)
			}
			p.info("Logout succeeded")
			return nil
		},
	}
}

func (p *program) loginListVerb() verb {
	return verb{
		name: "list", short: "List the registries that passwords are stored for", interspersed: true,
		differs: "also those that Docker and Podman know, with the account's name",
		run: func(context.Context, []string) error {
			e, err := p.c.Engine()
			if err != nil {
				return err
			}
			logins, err := e.Logins()
			if err != nil {
				p.warn("%v", err)
			}
			text := fmt.Sprintf("%-40s %s\n", "URI", "USERNAME")
			for _, l := range logins {
				text += fmt.Sprintf("%-40s %s\n", printable("docker://"+l.Registry), printable(l.User))
			}
			return p.print(text)
		},
	}
}

func (p *program) registryVerb() verb {
	return verb{name: "registry", short: "Passwords for registries", options: []option{noConfigFile}, below: []verb{
		p.loginVerb("[OPTION …] REGISTRY", "Store a password for a registry, when it takes it", ""), p.logoutVerb("REGISTRY"), p.loginListVerb(),
	}}
}

// noConfigFile is the flag of Apptainer that names the file of its services.
var noConfigFile = option{long: "config", short: "c", value: &noText, env: []string{"CONFIG_FILE"}, absent: "--authfile names the file that passwords are stored in"}

func (p *program) remoteVerb() verb {
	login := p.loginVerb("[OPTION …] docker://REGISTRY", "Store a password for a registry, as registry login", "there are no services other than registries")
	login.options = append(login.options,
		option{long: "insecure", short: "i", value: &noSwitch, env: []string{"LOGIN_INSECURE"}, absent: "registries without TLS stand in the settings: insecure_registries = HOST"},
		option{long: "tokenfile", value: &noText, absent: "tokens are of services; a registry's is given with --password-stdin"})
	return verb{
		options: []option{noConfigFile},
		name:    "remote", short: "The older name of registry", differs: "only login, logout and list, and of registries: there is no service beside them",
		below: []verb{
			login, p.logoutVerb("docker://REGISTRY"), p.loginListVerb(),
		},
	}
}
