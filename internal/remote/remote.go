// Package remote finds out, from the environment, whether this program runs on another computer than the person sits at:
// over SSH, in a job of a cluster, on a JupyterHub; and how what listens here on 127.0.0.1 is reached from there.
package remote

import (
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// Place is where this program runs, seen from the person's own computer.
type Place struct {
	// User and Host are who and what to say to ssh.
	User, Host string
	// Port is SSH's, where it is not 22; else 0.
	Port int
	// Jump is a machine by which Host is reached; empty where it is reached directly. Port is Jump's then.
	Jump string
	// Job names the job of a cluster that this is part of: "Slurm job 4711".
	Job string
	// Hub is the address, or the path of one, under which a JupyterHub shows this person's server; empty elsewhere.
	Hub string
}

// job are the variables of a workload manager.
type job struct {
	name          string
	id, node, sub string // variables: of the job, the node it runs on, the machine it was submitted on
}

var jobs = []job{
	{"Slurm", "SLURM_JOB_ID", "SLURMD_NODENAME", "SLURM_SUBMIT_HOST"},
	{"PBS", "PBS_JOBID", "", "PBS_O_HOST"},
	{"LSF", "LSB_JOBID", "", "LSB_SUB_HOST"},
	{"Grid Engine", "JOB_ID", "", "SGE_O_HOST"},
}

// Find finds out the place; nil: this computer is the one in front of the person. user and hostname are this process's
// and this machine's.
//
// A job inherits the variables of the session that it was submitted from. So in a job on another node SSH_CONNECTION
// (ssh(1): the client's address and port, the server's address and port) names the login node, which a person's own
// computer can reach; the node mostly cannot be reached but from there.
func Find(getenv func(string) string, user, hostname string) *Place {
	p := Place{User: word(user)}
	if parts := strings.Fields(getenv("SSH_CONNECTION")); len(parts) == 4 {
		if ip, err := netip.ParseAddr(parts[2]); err == nil {
			p.Host = ip.Unmap().String()
		}
		if n, err := strconv.ParseUint(parts[3], 10, 16); err == nil && n != 22 {
			p.Port = int(n)
		}
	}
	for _, j := range jobs {
		id := word(getenv(j.id))
		submitted := word(getenv(j.sub))
		if id == "" || submitted == "" {
			continue
		}
		p.Job = j.name + " job " + id
		node := hostname
		if j.node != "" && getenv(j.node) != "" {
			node = getenv(j.node)
		}
		if short(hostname) == short(submitted) {
			break // a shell on the machine it was submitted on, which only waits for the job
		}
		if p.Jump = p.Host; p.Jump == "" {
			p.Jump = submitted
		}
		p.Host = word(node)
		break
	}
	if prefix := getenv("JUPYTERHUB_SERVICE_PREFIX"); strings.HasPrefix(prefix, "/") && printable(prefix) {
		p.Hub = prefix
		if u, err := url.Parse(getenv("JUPYTERHUB_PUBLIC_URL")); err == nil && u.Host != "" && printable(u.String()) {
			p.Hub = u.Scheme + "://" + u.Host + prefix
		}
	}
	if p.Host == "" && p.Hub == "" {
		return nil
	}
	return &p
}

// word is a name that may stand in a command line as it is; empty where it may not.
func word(s string) string {
	for _, r := range s {
		if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-:[]", r)) {
			return ""
		}
	}
	if strings.HasPrefix(s, "-") {
		return ""
	}
	return s
}

func printable(s string) bool {
	for _, r := range s {
		if r <= ' ' || r >= 0x7f {
			return false
		}
	}
	return true
}

func short(host string) string {
	name, _, _ := strings.Cut(host, ".")
	return strings.ToLower(name)
}

// Beside is another machine, seen from the person's own computer: it is reached by way of the one that leads to this place,
// or, where the person sits at this one (p is nil), directly. It is nil where nothing is known that ssh could be told.
func (p *Place) Beside(user, hostname string) *Place {
	there := Place{User: word(user), Host: word(hostname)}
	if there.Host == "" {
		return nil
	}
	if p == nil {
		return &there
	}
	if p.Host == "" {
		return nil // only a JupyterHub leads here
	}
	if there.Port, there.Jump = p.Port, p.Jump; there.Jump == "" {
		there.Jump = p.Host
	}
	return &there
}

// Tunnel is the line that makes ports of this computer's 127.0.0.1 appear under the same numbers on the person's own
// (ssh(1), -L, -J); empty where that is not the way.
func (p *Place) Tunnel(ports ...int) string {
	if p == nil || p.Host == "" || len(ports) == 0 {
		return ""
	}
	at := func(host string) string {
		if p.User != "" {
			return p.User + "@" + host
		}
		return host
	}
	line := "ssh -N"
	for i, port := range ports {
		known := false
		for _, before := range ports[:i] {
			known = known || before == port
		}
		if !known {
			line += fmt.Sprintf(" -L %d:127.0.0.1:%d", port, port)
		}
	}
	switch {
	case p.Jump != "" && p.Port != 0:
		host := p.Jump
		if strings.Contains(host, ":") {
			host = "[" + host + "]"
		}
		line += fmt.Sprintf(" -J %s:%d", at(host), p.Port)
	case p.Jump != "":
		line += " -J " + at(p.Jump)
	case p.Port != 0:
		line += fmt.Sprintf(" -p %d", p.Port)
	}
	return line + " " + at(p.Host)
}

// Proxied is where a JupyterHub with jupyter-server-proxy shows a port, which speaks HTTP; empty elsewhere. It is a path
// where the hub's address is not known.
func (p *Place) Proxied(port int) string {
	if p == nil || p.Hub == "" {
		return ""
	}
	return fmt.Sprintf("%s/proxy/%d/", strings.TrimSuffix(p.Hub, "/"), port)
}

// String says in a few words where this is.
func (p *Place) String() string {
	switch {
	case p == nil:
		return "this computer"
	case p.Job != "" && p.Jump != "":
		return p.Host + " (" + p.Job + ")"
	case p.Hub != "" && p.Host == "":
		return "a JupyterHub"
	}
	return p.Host
}
