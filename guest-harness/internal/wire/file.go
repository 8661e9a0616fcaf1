package wire

// MaxPiece is how many bytes of a file one message may carry.
const MaxPiece = 512 << 10

const maxPath = 4096

// FileRead asks for a piece of a file.
type FileRead struct {
	Path          string
	Offset, Limit int64
}

// FilePiece is the answer: how large the file is, and the bytes from the offset on.
type FilePiece struct {
	Size  int64  `json:"size"`
	Bytes []byte `json:"bytes"`
}

// FileWrite replaces a file, or adds to it, or makes one that must not be there. Mode is the file's permissions from now on; negative
// where nobody asked for any.
type FileWrite struct {
	Path              string
	Bytes             []byte
	Append, Exclusive bool
	Mode              int64
}

// Extracted is what an archive held: files and links, and the files' bytes.
type Extracted struct {
	Files int   `json:"files"`
	Bytes int64 `json:"bytes"`
}

// DecodeFileRead reads the body of POST /files/read.
func DecodeFileRead(body []byte) (*FileRead, *Failure) {
	o := parseObject(body)
	m := &FileRead{Path: o.path(), Offset: o.integer("offset", 0, 1<<53-1), Limit: o.integer("limit", 0, MaxPiece)}
	if failure := o.finish("read"); failure != nil {
		return nil, failure
	}
	return m, nil
}

// DecodeFileWrite reads the body of POST /files/write.
func DecodeFileWrite(body []byte) (*FileWrite, *Failure) {
	o := parseObject(body)
	m := &FileWrite{Path: o.path(), Bytes: need[[]byte](o, "bytes", "base64"), Append: need[bool](o, "append", "true or false"), Mode: -1}
	m.Exclusive, _ = take[bool](o, "exclusive", "true or false")
	if _, present := o.members["mode"]; present {
		m.Mode = o.integer("mode", 0, 0o777)
	}
	if failure := o.finish("write"); failure != nil {
		return nil, failure
	}
	return m, nil
}

func (o *object) path() string {
	path := o.text("path", 1, maxPath)
	o.checkAbsolute("path", path)
	return path
}
