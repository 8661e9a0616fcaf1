package server

import (
	"net/http"

	"aegis.dev/guest-harness/internal/files"
	"aegis.dev/guest-harness/internal/wire"
)

// archive answers GET /files: what is at a path, as a tar archive. One that breaks off is reset.
func (s *Server) archive(w http.ResponseWriter, r *http.Request) *wire.Failure {
	if _, failure := s.running(); failure != nil {
		return failure
	}
	source, failure := files.Open(r.URL.Query().Get("path"))
	if failure != nil {
		return failure
	}
	defer source.Close()
	w.Header().Set("Content-Type", "application/x-tar")
	if source.Archive(w) != nil {
		panic(http.ErrAbortHandler)
	}
	return nil
}

// extract answers PUT /files: the body is an archive for a path.
func (s *Server) extract(w http.ResponseWriter, r *http.Request) *wire.Failure {
	if _, failure := s.running(); failure != nil {
		return failure
	}
	query := r.URL.Query()
	done, failure := files.Extract(r.Body, query.Get("path"), query.Get("into") == "true")
	if failure != nil {
		return failure
	}
	answer(w, done)
	return nil
}

func (s *Server) readFile(w http.ResponseWriter, r *http.Request) *wire.Failure {
	if _, failure := s.running(); failure != nil {
		return failure
	}
	body, failure := readBody(w, r)
	if failure != nil {
		return failure
	}
	message, failure := wire.DecodeFileRead(body)
	if failure != nil {
		return failure
	}
	piece, failure := files.Read(message)
	if failure != nil {
		return failure
	}
	answer(w, piece)
	return nil
}

func (s *Server) writeFile(w http.ResponseWriter, r *http.Request) *wire.Failure {
	if _, failure := s.running(); failure != nil {
		return failure
	}
	body, failure := readBody(w, r)
	if failure != nil {
		return failure
	}
	message, failure := wire.DecodeFileWrite(body)
	if failure != nil {
		return failure
	}
	if failure := files.Write(message); failure != nil {
		return failure
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
