package build

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"carrel/engine/instance/inotify"
	"carrel/engine/progress"
)

// Many sections end with `conda clean -a`, `pip cache purge` or `npm cache clean --force`, to make the image smaller. What
// is kept between builds must survive that, and so must what the section itself has just fetched. So package managers work
// on a view:
//
//	kept/   downloads of earlier builds; nothing is ever removed from it here
//	upper/  what this build writes and removes: an overlay of it on kept is what sections see
//	saved/  a second name (hard link) for every file that was completed in the view, given to it by saver
//
// At the end saved, and then upper, are moved into kept, by adding and replacing only.

// downloadsView is the view of one build.
type downloadsView struct {
	kept    string
	overlay *stage // only its tree is used
	saver   *saver // nil where files cannot be watched
}

// viewDownloads mounts a view of the folder kept, below the build's work folder. Where the kernel has no overlay for us it is
// nil: sections then work on the folder itself.
func (b *builder) viewDownloads(kept string) (*downloadsView, error) {
	dir, err := os.MkdirTemp(b.dir, "downloads-")
	if err != nil {
		return nil, err
	}
	v := &downloadsView{kept: kept, overlay: &stage{dir: dir, root: filepath.Join(dir, "root"), lowers: []string{kept}}}
	if err := v.overlay.mount(b.spec.UserNS); err != nil {
		if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENODEV) {
			return nil, nil
		}
		return nil, err
	}
	v.saver = save(v.overlay.root, v.overlay.upper(), filepath.Join(dir, "saved"), kept)
	b.atEnd(func() {
		if err := v.keep(); err != nil {
			b.sink.Notice(progress.StepInstall, "not all that was downloaded could be kept for the next build: "+err.Error())
		}
	})
	return v, nil
}

// keep ends the view, and adds what came into it to what is kept.
func (v *downloadsView) keep() error {
	if v.saver != nil {
		v.saver.stop()
	}
	if err := v.overlay.unmount(); err != nil {
		return err
	}
	return errors.Join(addTree(filepath.Join(v.overlay.dir, "saved"), v.kept), addTree(v.overlay.upper(), v.kept))
}

// addTree moves what is in one folder into another, where nothing is removed and only files and links are replaced. Whole
// folders that are new there are moved at once. Whiteouts of an overlay are left out: as character devices 0:0
// (Documentation/filesystems/overlayfs.rst) they lie only in folders that kept has, too.
func addTree(from, to string) error {
	list, err := os.ReadDir(from)
	if err != nil {
		return ignoreMissing(err)
	}
	var errs []error
	for _, e := range list {
		src, dst := filepath.Join(from, e.Name()), filepath.Join(to, e.Name())
		there, err := os.Lstat(dst)
		switch {
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			errs = append(errs, err)
		case e.IsDir() && err == nil && there.IsDir():
			errs = append(errs, addTree(src, dst))
		case e.IsDir() && err != nil, (e.Type().IsRegular() || e.Type() == fs.ModeSymlink) && (err != nil || !there.IsDir()):
			errs = append(errs, os.Rename(src, dst))
		}
	}
	return errors.Join(errs...)
}

// saver gives files a second name as soon as they are complete.
type saver struct {
	view, upper, saved string
	watcher            *inotify.Watcher
	folders            map[int]string // of the view, by watch
	ending             atomic.Bool
	done               sync.WaitGroup
}

// mostWatched bounds how many folders are watched: the kernel's default for a user is 8192 and more
// (fs.inotify.max_user_watches, inotify(7)).
const mostWatched = 6000

const saveMask = unix.IN_CLOSE_WRITE | unix.IN_MOVED_TO | unix.IN_MOVED_FROM | unix.IN_CREATE | unix.IN_ONLYDIR

// save begins to watch the view; nil where that cannot be.
func save(view, upper, saved, kept string) *saver {
	w, err := inotify.New()
	if err != nil {
		return nil
	}
	s := &saver{view: view, upper: upper, saved: saved, watcher: w, folders: map[int]string{}}
	s.watch(".")
	for _, sub := range downloadVariables {
		s.watch(sub)
	}
	s.done.Go(func() {
		s.watchKept(kept, ".")
		for {
			ending := s.ending.Load()
			events, err := s.watcher.Wait(context.Background(), -1)
			if err != nil || ending && len(events) == 0 {
				return
			}
			for _, e := range events {
				s.note(e)
			}
			if s.ending.Load() {
				s.watcher.Wake() // until there are no more
			}
		}
	})
	return s
}

// stop returns when all has been seen.
func (s *saver) stop() {
	s.ending.Store(true)
	s.watcher.Wake()
	s.done.Wait()
	s.watcher.Close()
}

func (s *saver) watch(rel string) bool {
	if len(s.folders) >= mostWatched {
		return false
	}
	wd, err := s.watcher.Add(filepath.Join(s.view, rel), saveMask)
	if err != nil {
		return false
	}
	s.folders[wd] = rel
	return true
}

// watchKept watches the folders that are there from earlier builds.
func (s *saver) watchKept(kept, rel string) {
	list, err := os.ReadDir(filepath.Join(kept, rel))
	if err != nil {
		return
	}
	for _, e := range list {
		if sub := path.Join(rel, e.Name()); e.IsDir() && grows(sub) && s.watch(sub) {
			s.watchKept(kept, sub)
		}
	}
}

// grows tells whether files come into a folder one by one. Packages that were unpacked are complete, and are fetched again
// as little as their archives: those beside them count.
func grows(rel string) bool {
	tool, in, _ := strings.Cut(rel, "/")
	switch {
	case tool == "apt": // kept by apt itself, see aptConf
		return false
	case tool == "conda":
		return in == "" || in == "cache"
	case tool == "uv":
		return !strings.HasPrefix(in, "archive-v") || !strings.Contains(in, "/")
	case tool == "go":
		return in == "" || in == "cache" || strings.HasPrefix(in, "cache/")
	}
	return path.Base(rel) != "node_modules" && path.Base(rel) != "tmp"
}

// passing tells whether a name is that of a file that is none of the results.
func passing(name string) bool {
	for _, suffix := range []string{".lock", ".lck", ".tmp", ".part", ".partial"} {
		if strings.HasSuffix(name, suffix) {
			return true
		}
	}
	return strings.HasPrefix(name, ".tmp") || strings.HasPrefix(name, "tmp")
}

func (s *saver) note(e inotify.Event) {
	if e.Mask&unix.IN_Q_OVERFLOW != 0 {
		s.folder(".")
		return
	}
	dir, known := s.folders[e.Watch]
	if !known || e.Name == "" {
		return
	}
	rel := path.Join(dir, e.Name)
	switch {
	case e.Mask&unix.IN_MOVED_FROM != 0: // it has another name, which is saved
		_ = os.RemoveAll(filepath.Join(s.saved, rel))
	case e.Mask&unix.IN_ISDIR != 0:
		s.folder(rel)
	case e.Mask&(unix.IN_CLOSE_WRITE|unix.IN_MOVED_TO) != 0:
		s.file(rel)
	default: // made: complete if it is a link, else its end will be told
		if st, err := lstat(filepath.Join(s.upper, rel)); err == nil && (st.Mode&unix.S_IFMT != unix.S_IFREG || st.Nlink > 1) {
			s.file(rel)
		}
	}
}

// folder watches a new folder, and saves what is in it already.
func (s *saver) folder(rel string) {
	if passing(path.Base(rel)) {
		return
	}
	if grows(rel) {
		s.watch(rel)
	} else if !strings.HasPrefix(rel, "uv/") { // which moves packages to their place complete, and keeps no archives
		return
	}
	list, err := os.ReadDir(filepath.Join(s.upper, rel))
	if err != nil {
		return
	}
	for _, e := range list {
		if sub := path.Join(rel, e.Name()); e.IsDir() {
			s.folder(sub)
		} else {
			s.file(sub)
		}
	}
}

// file gives a file a second name. One that is gone already, or cannot have one, is fetched again by the next build.
func (s *saver) file(rel string) {
	from, to := filepath.Join(s.upper, rel), filepath.Join(s.saved, rel)
	st, err := lstat(from)
	if err != nil || passing(path.Base(rel)) || st.Mode&unix.S_IFMT != unix.S_IFREG && st.Mode&unix.S_IFMT != unix.S_IFLNK {
		return
	}
	if os.MkdirAll(filepath.Dir(to), 0o755) != nil {
		return
	}
	if err := unix.Link(from, to); errors.Is(err, unix.EEXIST) {
		_ = os.Remove(to)
		_ = unix.Link(from, to)
	}
}
