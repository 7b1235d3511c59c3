package plan

// The descriptors an init is started with, beside its standard three.
//
//	supervisor                                    init (re-executed binary, Arg0)
//	────────────────────────────────────────────────────────────────────────────
//	starts init with new namespaces ──FDPlan────▶ reads the Plan to its end
//	newuidmap, newgidmap (ranges only)
//	MsgMapped ─────────────────────FDControl────▶ becomes UID, GID
//	                                              makes the root, mounts each Op
//	serves the image     ◀──────────MsgFUSE+fd── once per FUSE layer
//	carries the packets  ◀──────────MsgLink+fd── with Net.Outgoing
//	shows remarks        ◀─────────────MsgNote── for each optional Op that failed
//	                     ◀────────────MsgError── and exits 255, or
//	                     ◀──────────MsgStarted── the process runs (PIDNS), or the socket closes at exec
//	MsgSignal ──────────────────────────────────▶ sends it to the process
//	MsgStop (with Signal) ──────────────────────▶ the same, and to all others when the process has ended
//	MsgRequest (dial, listeners, exec) ─────────▶
//	                     ◀──────MsgReply (+fd)── with the request's ID
//	                     ◀────────────MsgEnded── a process of a request "exec" has ended
//	                                              exits with the process's status
//
// FDControl is a socket of type SOCK_SEQPACKET: one JSON object a message, at most MaxMessage bytes, at most MaxFDs
// descriptors beside it. When either side dies the other sees the end of the socket; init then ends with SIGKILL for
// all its processes, because it is process 1.
const (
	FDControl  = 3
	FDPlan     = 4
	MaxMessage = 64 << 10
	MaxFDs     = 4

	// Arg0 is the name under which the binary is started to be an init.
	Arg0 = "carrel-init"
)

// MsgKind names a message.
type MsgKind string

const (
	MsgMapped  MsgKind = "mapped"
	MsgFUSE    MsgKind = "fuse"
	MsgLink    MsgKind = "link"
	MsgNote    MsgKind = "note"
	MsgError   MsgKind = "error"
	MsgStarted MsgKind = "started"
	MsgSignal  MsgKind = "signal"
	MsgRequest MsgKind = "request"
	MsgReply   MsgKind = "reply"
	MsgEnded   MsgKind = "ended"
	MsgStop    MsgKind = "stop"
)

// Message is everything that is ever sent; Kind says which fields count.
type Message struct {
	Kind  MsgKind  `json:"kind"`
	ID    int      `json:"id,omitempty"`    // of a request and its reply
	Layer int      `json:"layer,omitempty"` // MsgFUSE: index in Plan.Layers
	PID   int      `json:"pid,omitempty"`   // inside the namespace
	Text  string   `json:"text,omitempty"`
	Error *Failure `json:"error,omitempty"`

	Signal int      `json:"signal,omitempty"`
	Op     string   `json:"op,omitempty"`      // of a request: "dial", "listeners", "exec", "signal"
	Addr   string   `json:"addr,omitempty"`    // dial: the port
	Proto  string   `json:"proto,omitempty"`   // dial: "udp"; empty for TCP
	Exec   *Process `json:"process,omitempty"` // exec: the descriptors are its stdin, stdout and stderr
	TTY    bool     `json:"tty,omitempty"`     // exec: the first descriptor becomes the controlling terminal
	Status int      `json:"status,omitempty"`  // MsgEnded: exit status as a shell gives it
	Ports  []Socket `json:"ports,omitempty"`   // listeners
}

// Socket is a listening socket.
type Socket struct {
	Addr string `json:"addr"` // IP address
	Port int    `json:"port"`
	UID  uint32 `json:"uid"`
}

// Failure is an error that crossed a process boundary.
type Failure struct {
	Op     string `json:"op"` // "bind", "mount overlay", "start"
	Source string `json:"source,omitempty"`
	Target string `json:"target,omitempty"`
	Errno  int    `json:"errno,omitempty"`
	Text   string `json:"text,omitempty"` // when there is no errno
}
