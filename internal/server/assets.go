package server

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-chi/chi/v5"

	"jitaccess/docs"
	"jitaccess/internal/access"
)

// asset is a file that pages use. Pages name it with its version, and browsers keep that for
// good; docs/decisions/20-assets-are-kept-pages-are-not-compressed.md.
type asset struct {
	contentType string
	plain       representation
	compressed  func() representation
}

// representation is the bytes of an asset in one encoding. Their hash is the entity tag, so that
// parts of two encodings are never put together.
type representation struct {
	body []byte
	hash string
}

func represent(body []byte) representation {
	sum := sha256.Sum256(body)
	return representation{body, hex.EncodeToString(sum[:8])}
}

// compress is done when somebody first asks for it: not at the start, which people wait for.
func (r representation) compress() representation {
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, gzip.BestCompression) // fails for an unknown level alone
	w.Write(r.body)                                       // a bytes.Buffer does not fail
	w.Close()
	return represent(b.Bytes())
}

// readAssets returns the files below assets/ by name, and what puts the version of each where a
// template has "/assets/NAME".
func readAssets(files fs.FS) (map[string]asset, *strings.Replacer, error) {
	names, err := fs.Glob(files, "assets/*")
	if err != nil {
		return nil, nil, err
	}
	assets := map[string]asset{}
	var versions []string
	for _, name := range names {
		body, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, nil, err
		}
		contentType, ok := assetTypes[path.Ext(name)]
		if !ok {
			return nil, nil, fmt.Errorf("%s has no known type", name)
		}
		plain := represent(body)
		assets[path.Base(name)] = asset{contentType, plain, sync.OnceValue(plain.compress)}
		versions = append(versions, `"/`+name+`"`, `"/`+name+`?v=`+plain.hash+`"`)
	}
	return assets, strings.NewReplacer(versions...), nil
}

// assetTypes are written down, because mime.TypeByExtension asks the machine.
var assetTypes = map[string]string{
	".css": "text/css; charset=utf-8",
	".js":  "text/javascript; charset=utf-8",
	".svg": "image/svg+xml",
}

// asset serves a file. The version that a page of this process names does not change, and is not
// asked for again for a year. For any other, which pages of another process name during an
// upgrade, and for none, the answer is the file that there is; browsers ask each time whether it
// is still the same, so that nothing is kept under the version of something else.
func (s *server) asset(w http.ResponseWriter, r *http.Request) {
	a, ok := s.assets[chi.URLParam(r, "name")]
	if !ok {
		s.refuses(access.CodeNotFound)(w, r)
		return
	}
	s.serve(w, r, a)
}

func (s *server) serve(w http.ResponseWriter, r *http.Request, a asset) {
	h := w.Header()
	h.Set("Content-Type", a.contentType)
	h.Set("Vary", "Accept-Encoding")
	h.Set("Cache-Control", "no-cache")
	if r.URL.Query().Get("v") == a.plain.hash {
		h.Set("Cache-Control", "max-age=31536000, immutable")
	}
	sent := a.plain
	if takesGzip(r.Header.Values("Accept-Encoding")) {
		sent = a.compressed()
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("ETag", `"`+sent.hash+`"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(sent.body))
}

// described serves the description of all this. It is read when somebody first asks for it.
func (s *server) described(w http.ResponseWriter, r *http.Request) {
	a, err := s.description()
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	s.serve(w, r, a)
}

func readDescription() (asset, error) {
	body, err := docs.OpenAPI()
	plain := represent(body)
	return asset{"application/json; charset=utf-8", plain, sync.OnceValue(plain.compress)}, err
}

// takesGzip is whether Accept-Encoding names gzip with a weight above 0 (RFC 9110, 12.5.3). Who
// says anything else, or nothing, gets the bytes as they are.
func takesGzip(accepted []string) bool {
	for each := range strings.SplitSeq(strings.ToLower(strings.Join(accepted, ",")), ",") {
		coding, parameter, weighted := strings.Cut(each, ";")
		if strings.TrimSpace(coding) != "gzip" {
			continue
		}
		weight, err := strconv.ParseFloat(strings.TrimPrefix(strings.TrimSpace(parameter), "q="), 64)
		return !weighted || err == nil && weight > 0
	}
	return false
}
