package squashfs

// Stored is about how many bytes of the image a regular file's contents take, compressed; contents that several files share
// count for each. Of a block of small files it counts the file's part. It costs no more than reading the inode.
func (r *Reader) Stored(in *Inode) (int64, error) {
	if !in.IsRegular() || in.Size == 0 {
		return 0, nil
	}
	var stored int64
	if in.nblocks > 0 {
		pos, size, err := r.locate(in, in.nblocks-1)
		if err != nil {
			return 0, err
		}
		stored = max(0, pos-in.start) + int64(size&^dataUncompressed)
	}
	if tail := in.Size - in.nblocks*int64(r.sb.BlockSize); tail > 0 {
		_, size, err := r.fragmentPlace(in.fragment)
		if err != nil {
			return 0, err
		}
		stored += max(1, int64(size&^dataUncompressed)*tail/int64(r.sb.BlockSize))
	}
	return stored, nil
}
