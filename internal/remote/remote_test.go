package remote

import (
	"strings"
	"testing"
)

func TestFind(t *testing.T) {
	for _, test := range []struct {
		name, env, host string // env: NAME=VALUE|…
		text, tunnel    string
	}{
		{"at home", "", "laptop", "this computer", ""},
		{"over SSH", "SSH_CONNECTION=192.0.2.9 50000 192.0.2.7 22", "login1", "192.0.2.7", "ssh -N -L 8888:127.0.0.1:8888 ada@192.0.2.7"},
		{"another port", "SSH_CONNECTION=192.0.2.9 50000 192.0.2.7 2222", "login1", "192.0.2.7", "ssh -N -L 8888:127.0.0.1:8888 -p 2222 ada@192.0.2.7"},
		{"IPv6", "SSH_CONNECTION=2001:db8::9 50000 2001:db8::7 22", "login1", "2001:db8::7", "ssh -N -L 8888:127.0.0.1:8888 ada@2001:db8::7"},
		{
			"Slurm job", "SSH_CONNECTION=192.0.2.9 50000 192.0.2.7 22|SLURM_JOB_ID=4711|SLURMD_NODENAME=node17|SLURM_SUBMIT_HOST=login1", "node17.cluster",
			"node17 (Slurm job 4711)", "ssh -N -L 8888:127.0.0.1:8888 -J ada@192.0.2.7 ada@node17",
		},
		{
			"Slurm batch job", "SLURM_JOB_ID=4711|SLURMD_NODENAME=node17|SLURM_SUBMIT_HOST=login1.example.org", "node17",
			"node17 (Slurm job 4711)", "ssh -N -L 8888:127.0.0.1:8888 -J ada@login1.example.org ada@node17",
		},
		{
			"jump by another port", "SSH_CONNECTION=2001:db8::9 50000 2001:db8::7 2222|PBS_JOBID=12.pbs|PBS_O_HOST=login1", "node3",
			"node3 (PBS job 12.pbs)", "ssh -N -L 8888:127.0.0.1:8888 -J ada@[2001:db8::7]:2222 ada@node3",
		},
		{
			"allocated, but still on the login node", "SSH_CONNECTION=192.0.2.9 50000 192.0.2.7 22|SLURM_JOB_ID=4711|SLURM_SUBMIT_HOST=login1", "login1.example.org",
			"192.0.2.7", "ssh -N -L 8888:127.0.0.1:8888 ada@192.0.2.7",
		},
		{"LSF", "LSB_JOBID=9|LSB_SUB_HOST=front", "n1", "n1 (LSF job 9)", "ssh -N -L 8888:127.0.0.1:8888 -J ada@front ada@n1"},
		{"Grid Engine", "JOB_ID=9|SGE_O_HOST=front", "n1", "n1 (Grid Engine job 9)", "ssh -N -L 8888:127.0.0.1:8888 -J ada@front ada@n1"},
		{"a JOB_ID of something else", "JOB_ID=9", "laptop", "this computer", ""},
		{"JupyterHub", "JUPYTERHUB_SERVICE_PREFIX=/user/ada/", "jupyter-ada", "a JupyterHub", ""},
		{"nonsense", "SSH_CONNECTION=1 2 evil;rm 22", "laptop", "this computer", ""},
		{"a node with a trap", "SLURM_JOB_ID=1|SLURMD_NODENAME=$(rm)|SLURM_SUBMIT_HOST=login1", "x", "this computer", ""},
	} {
		p := Find(env(test.env), "ada", test.host)
		if got := p.String(); got != test.text {
			t.Errorf("%s: it is %q, want %q", test.name, got, test.text)
		}
		if got := p.Tunnel(8888); got != test.tunnel {
			t.Errorf("%s: got %q, want %q", test.name, got, test.tunnel)
		}
	}
}

func TestBeside(t *testing.T) {
	for _, test := range []struct {
		name   string
		here   *Place
		other  string
		tunnel string
	}{
		{"in front of it", nil, "node7", "ssh -N -L 8888:127.0.0.1:8888 ada@node7"},
		{"over SSH", &Place{Host: "192.0.2.7", Port: 2222}, "node7", "ssh -N -L 8888:127.0.0.1:8888 -J ada@192.0.2.7:2222 ada@node7"},
		{"on a node", &Place{Host: "node3", Jump: "login1"}, "node7", "ssh -N -L 8888:127.0.0.1:8888 -J ada@login1 ada@node7"},
		{"on a JupyterHub", &Place{Hub: "/user/ada/"}, "node7", ""},
		{"a trap", nil, "$(rm)", ""},
	} {
		if got := test.here.Beside("ada", test.other).Tunnel(8888); got != test.tunnel {
			t.Errorf("%s: got %q, want %q", test.name, got, test.tunnel)
		}
	}
}

func env(text string) func(string) string {
	return func(name string) string {
		for pair := range strings.SplitSeq(text, "|") {
			if key, value, _ := strings.Cut(pair, "="); key == name {
				return value
			}
		}
		return ""
	}
}

func TestTunnel(t *testing.T) {
	p := &Place{Host: "node7"}
	if got, want := p.Tunnel(8000, 8001, 8000), "ssh -N -L 8000:127.0.0.1:8000 -L 8001:127.0.0.1:8001 node7"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := p.Tunnel(); got != "" {
		t.Errorf("without a port there is %q", got)
	}
}

func TestProxied(t *testing.T) {
	for text, want := range map[string]string{
		"JUPYTERHUB_SERVICE_PREFIX=/user/ada/":                                                         "/user/ada/proxy/8888/",
		"JUPYTERHUB_SERVICE_PREFIX=/user/ada/|JUPYTERHUB_PUBLIC_URL=https://hub.example.org/user/ada/": "https://hub.example.org/user/ada/proxy/8888/",
		"SSH_CONNECTION=192.0.2.9 50000 192.0.2.7 22":                                                  "",
	} {
		if got := Find(env(text), "ada", "x").Proxied(8888); got != want {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
}
