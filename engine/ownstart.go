package engine

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"

	"carrel/engine/launch"
)

// asImage has the image's own program started in the folder, and as the user, that the image names: its labels, or the OCI
// configuration it came with. Everything else that is started in it is the caller's, as in Singularity, and so is all with
// Details.AsSelf.
//
// An ordinary user becomes the image's user by name and number: outside it stays the caller's own id, so that what it
// writes into bound folders is the caller's. Root becomes that user indeed.
func (e *Engine) asImage(s RunSpec, p *prepared, o *launch.Options) {
	if s.Details.AsSelf || s.App != "" || s.Action == ActionExec || s.Action == ActionShell || s.Action == ActionTest {
		return
	}
	dir, user := p.card.Workdir, p.card.User
	if dir == "" || user == "" {
		own := p.image.Own()
		if dir == "" {
			dir = own.Dir
		}
		if user == "" {
			user = own.User
		}
	}
	if o.Cwd == "" {
		o.Start = dir
	}
	caller := o.Host.User
	if user != "" && !o.Root && o.Security.As == nil {
		person, err := e.imageUser(p, user)
		switch {
		case err != nil:
			p.note(fmt.Sprintf("the image wants to run as the user %s: %v; it runs as you", user, err))
		case person.UID != 0:
			asPerson(o, person, e.c.User.UID == 0 && !s.Details.UserNS)
		}
	}
	p.start = started{Person: o.Person, Dir: o.Start}
	if s.Profile == ProfileSafe || o.Contain {
		return // nobody expects their own folder or name there
	}
	var says []string
	if o.Person != nil && o.Person.Name != caller {
		says = append(says, "as "+o.Person.Name)
	}
	if o.Start != "" && o.Start != o.Host.Cwd {
		says = append(says, "in "+o.Start)
	}
	if len(says) > 0 {
		p.note("it runs " + strings.Join(says, " ") + ", as the image says; with --as-self as you, in this folder")
	}
}

// started is what an image said of where and as whom it starts, for those who enter it later.
type started struct {
	Person *launch.Person `json:"person,omitempty"`
	Dir    string         `json:"dir,omitempty"`
}

// asPerson makes a container's process a user of the image; root tells that it can be had by changing ids.
func asPerson(o *launch.Options, p *launch.Person, root bool) {
	if p == nil {
		return
	}
	o.Person = p
	if root {
		o.Security.As = &launch.Identity{UID: p.UID, GID: p.GID, Groups: p.Groups}
		// Nothing of root's is shown to it, as nothing of it could be read.
		o.Host.UID, o.Host.GID, o.Host.User, o.Host.Home, o.Host.Groups = p.UID, p.GID, p.Name, "", nil
	}
}

// errUnknownUser: a name that the image's user database does not have.
var errUnknownUser = errors.New("its /etc/passwd does not know that name")

// errUnknownGroup: a name that the image's group database does not have.
var errUnknownGroup = errors.New("its /etc/group does not know that group")

// errOutside: a number that the user namespace which root is in does not have.
var errOutside = errors.New("there are no such ids in the user namespace that you are root of")

// imageUser finds a user, NAME|NUMBER[:GROUP|NUMBER], in the image's passwd(5) and group(5). As in Docker a number need not be
// there; it then is in group 0.
func (e *Engine) imageUser(p *prepared, text string) (*launch.Person, error) {
	files, err := p.image.FS()
	if err != nil {
		return nil, err
	}
	name, group, hasGroup := strings.Cut(text, ":")
	who := &launch.Person{Name: name, UID: -1}
	number, nerr := parseID(name)
	err = fields(files, "etc/passwd", 7, func(f []string) bool {
		uid, err := parseID(f[2])
		if err != nil || f[0] != name && (nerr != nil || uid != number) {
			return false
		}
		who.Name, who.UID, who.Home, who.Shell = f[0], uid, path.Clean("/"+f[5]), f[6]
		who.GID, _ = parseID(f[3]) // none that can be read: 0
		return true
	})
	switch {
	case err != nil:
		return nil, err
	case who.UID < 0 && nerr != nil:
		return nil, errUnknownUser
	case who.UID < 0:
		who.UID, who.Name = number, "user"+strconv.Itoa(number)
	}
	wanted, gerr := parseID(group)
	if !hasGroup {
		wanted, gerr = who.GID, nil
	}
	found := gerr == nil
	err = fields(files, "etc/group", 4, func(f []string) bool {
		gid, err := parseID(f[2])
		switch {
		case err != nil:
		case hasGroup && f[0] == group || gerr == nil && gid == wanted:
			wanted, gerr, found, who.Group = gid, nil, true, f[0]
		case !hasGroup && contains(f[3], who.Name):
			who.Groups = append(who.Groups, gid)
		}
		return false
	})
	if err == nil && !found {
		err = errUnknownGroup
	}
	if err != nil {
		return nil, err
	}
	who.GID = wanted
	if st, err := fs.Stat(files, strings.TrimPrefix(who.Home, "/")); who.Home != "" && who.Home != "/" && err == nil && st.IsDir() {
		who.HasHome = true
	}
	if e.c.User.UID == 0 && !(hasID("/proc/self/uid_map", who.UID) && hasID("/proc/self/gid_map", who.GID)) {
		return nil, errOutside
	}
	return who, nil
}

// parseID reads a number of a user or group.
func parseID(text string) (int, error) {
	n, err := strconv.ParseUint(text, 10, 31)
	return int(n), err
}

// hasID tells whether a map of the user namespace that this process is in (user_namespaces(7)) has a number.
func hasID(file string, id int) bool {
	text, err := os.ReadFile(file)
	if err != nil {
		return true // a kernel without user namespaces
	}
	for line := range strings.Lines(string(text)) {
		var inside, outside, size int64
		if n, _ := fmt.Sscan(line, &inside, &outside, &size); n == 3 && int64(id) >= inside && int64(id) < inside+size {
			return true
		}
	}
	return false
}

func contains(list, name string) bool {
	for one := range strings.SplitSeq(list, ",") {
		if one == name {
			return true
		}
	}
	return false
}

// maxDatabase bounds what is read of an image's user database, bytes.
const maxDatabase = 1 << 20

// fields calls take with the fields of each line of a database that has n of them, until it returns true. A file that is not
// there has no lines.
func fields(files fs.FS, name string, n int, take func([]string) bool) error {
	f, err := files.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(io.LimitReader(f, maxDatabase))
	for lines.Scan() {
		if parts := strings.Split(lines.Text(), ":"); len(parts) == n && take(parts) {
			return nil
		}
	}
	return lines.Err()
}
