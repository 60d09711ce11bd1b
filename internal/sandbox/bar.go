package sandbox

import (
	"bytes"
	"mime"
	"net/http"
	"regexp"
	"strconv"
)

// bodyTag is the tag after which the bar goes.
var bodyTag = regexp.MustCompile(`(?i)<body(?:\s(?:[^>"']|"[^"]*"|'[^']*')*)?>`)

// barInserter puts the bar on top of HTML pages that pass through it, and leaves
// everything else as it is. HTML is held back until finish.
type barInserter struct {
	http.ResponseWriter
	bar func() ([]byte, error)

	decided bool
	isPage  bool
	status  int
	page    bytes.Buffer
}

func (b *barInserter) WriteHeader(status int) {
	if b.decided {
		return
	}
	if status < http.StatusOK { // an interim answer; another follows
		b.ResponseWriter.WriteHeader(status)
		return
	}
	b.decided, b.status = true, status
	kind, _, err := mime.ParseMediaType(b.Header().Get("Content-Type"))
	b.isPage = err == nil && kind == "text/html" && b.Header().Get("Content-Encoding") == "" &&
		status != http.StatusNoContent && status != http.StatusNotModified && status != http.StatusPartialContent
	if !b.isPage {
		b.ResponseWriter.WriteHeader(status)
	}
}

func (b *barInserter) Write(p []byte) (int, error) {
	if !b.decided {
		if b.Header().Get("Content-Type") == "" { // as net/http would
			b.Header().Set("Content-Type", http.DetectContentType(p))
		}
		b.WriteHeader(http.StatusOK)
	}
	if b.isPage {
		return b.page.Write(p)
	}
	return b.ResponseWriter.Write(p)
}

// FlushError lets what is not a page stream.
func (b *barInserter) FlushError() error {
	if !b.decided {
		b.WriteHeader(http.StatusOK)
	}
	if b.isPage {
		return nil
	}
	return http.NewResponseController(b.ResponseWriter).Flush()
}

// Unwrap is for http.ResponseController.
func (b *barInserter) Unwrap() http.ResponseWriter { return b.ResponseWriter }

// finish sends the page that was held back, if there is one. If the bar cannot be
// made, the page is sent without it.
func (b *barInserter) finish() error {
	if !b.isPage {
		return nil
	}
	bar, barErr := b.bar()
	page := b.page.Bytes()
	if tag := bodyTag.FindIndex(page); tag != nil {
		page = bytes.Join([][]byte{page[:tag[1]], bar, page[tag[1]:]}, nil)
	}
	// A validator of the service's would also match the page of another person.
	b.Header().Del("Etag")
	b.Header().Del("Content-Length")
	if len(page) > 0 { // empty is the answer to HEAD
		b.Header().Set("Content-Length", strconv.Itoa(len(page)))
	}
	b.ResponseWriter.WriteHeader(b.status)
	if _, err := b.ResponseWriter.Write(page); err != nil {
		return err
	}
	return barErr
}
