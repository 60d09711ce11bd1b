package server

import (
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"jitaccess/internal/access"
	"jitaccess/web"
)

// withStyle is the service with another style sheet, as another version of it may have.
func withStyle(t *testing.T, style string) http.Handler {
	t.Helper()
	files := ownFiles(t)
	files["assets/style.css"].Data = []byte(style)
	return ofFiles(t, files)
}

// ownFiles are those of the service, to be changed.
func ownFiles(t *testing.T) fstest.MapFS {
	t.Helper()
	files := fstest.MapFS{}
	err := fs.WalkDir(web.Files, ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files[name] = &fstest.MapFile{}
			files[name].Data, err = web.Files.ReadFile(name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// ofFiles is the service of those files, which nobody can sign in to.
func ofFiles(t *testing.T, files fs.FS) http.Handler {
	t.Helper()
	h, err := newFrom(Config{Identify: func(*http.Request) (access.Caller, error) { return access.Caller{}, errors.New("nobody") },
		Log: slog.New(slog.DiscardHandler), Now: time.Now, Random: rand.Reader}, files)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// fetched is the answer to a GET with these headers, each NAME: VALUE.
func fetched(h http.Handler, path string, headers ...string) *http.Response {
	return asked(h, "GET", path, headers...)
}

func asked(h http.Handler, method, path string, headers ...string) *http.Response {
	r, w := httptest.NewRequest(method, path, nil), httptest.NewRecorder()
	for _, each := range headers {
		name, value, _ := strings.Cut(each, ": ")
		r.Header.Add(name, value)
	}
	h.ServeHTTP(w, r)
	return w.Result()
}

func contents(t *testing.T, answer *http.Response) string {
	t.Helper()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

var versioned = regexp.MustCompile(`"(/assets/([a-z]+\.[a-z]+)\?v=[0-9a-f]{16})"`)

// What a page of this process names is kept for a year and never asked for again. All else is
// asked for each time, so that nothing is kept under the version of something else: neither when
// a page of the version before comes to this one, nor when one of the next does.
func TestAssetsAreKeptByVersion(t *testing.T) {
	before, after := withStyle(t, "a{}"), withStyle(t, "b{}")
	styleOf := func(h http.Handler) (path string) {
		page := contents(t, fetched(h, "/"))
		for _, found := range versioned.FindAllStringSubmatch(page, -1) {
			if found[2] == "style.css" {
				path = found[1]
			}
		}
		if path == "" || strings.Count(page, "/assets/") != len(versioned.FindAllString(page, -1)) {
			t.Fatalf("a page names assets without their version: %s", page)
		}
		return path
	}
	old, current := styleOf(before), styleOf(after)
	if old == current {
		t.Fatalf("two style sheets are both %s", old)
	}
	const kept, asked = "max-age=31536000, immutable", "no-cache"
	for name, c := range map[string]struct {
		of         http.Handler
		path       string
		body, keep string
	}{
		"of this version":             {after, current, "b{}", kept},
		"of the version before":       {after, old, "b{}", asked},
		"of the next version":         {before, current, "a{}", asked},
		"of none, as 2.0 named it":    {after, "/assets/style.css", "b{}", asked},
		"of an empty one":             {after, "/assets/style.css?v=", "b{}", asked},
		"of a part of one":            {after, current[:len(current)-1], "b{}", asked},
		"of a longer one":             {after, current + "0", "b{}", asked},
		"of two":                      {after, old + "&" + current[strings.Index(current, "v="):], "b{}", asked},
		"of that of another":          {after, strings.Replace(current, "style.css", "page.js", 1), "", asked},
		"with what cannot be decoded": {after, current + "%zz", "b{}", asked},
	} {
		answer := fetched(c.of, c.path)
		if body := contents(t, answer); answer.StatusCode != 200 || c.body != "" && body != c.body || answer.Header.Get("Cache-Control") != c.keep {
			t.Errorf("%s: %d %q %.20q", name, answer.StatusCode, answer.Header.Get("Cache-Control"), body)
		}
	}
	for _, path := range []string{"/assets/nothing.css?v=" + current[len(current)-16:], "/assets/style." + current[len(current)-16:] + ".css"} {
		if answer := fetched(after, path); answer.StatusCode == 200 || answer.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %q", path, answer.StatusCode, answer.Header.Get("Cache-Control"))
		}
	}
}

// Who takes gzip gets it; parts of the two forms are never taken for parts of one.
func TestAssetsAreCompressed(t *testing.T) {
	text := strings.Repeat("main{color:inherit}", 100)
	h := withStyle(t, text)
	const path = "/assets/style.css"
	plain, packed := fetched(h, path), fetched(h, path, "Accept-Encoding: gzip, deflate, br, zstd")
	body := contents(t, packed)
	unpacked, err := gzip.NewReader(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(unpacked); err != nil || string(got) != text || contents(t, plain) != text {
		t.Fatalf("%v: %q", err, got)
	}
	if len(body) > len(text)/10 {
		t.Errorf("%d bytes of %d", len(body), len(text))
	}
	for name, answer := range map[string]*http.Response{"plain": plain, "packed": packed} {
		if h := answer.Header; h.Get("Vary") != "Accept-Encoding" || h.Get("Content-Type") != "text/css; charset=utf-8" || len(h.Get("ETag")) != 18 {
			t.Errorf("%s: %v", name, h)
		}
	}
	if plain.Header.Get("Content-Encoding") != "" || packed.Header.Get("Content-Encoding") != "gzip" || plain.Header.Get("ETag") == packed.Header.Get("ETag") ||
		plain.Header.Get("Content-Length") != strconv.Itoa(len(text)) {
		t.Errorf("%v\n%v", plain.Header, packed.Header)
	}

	for accepted, want := range map[string]bool{"gzip": true, "GZIP": true, " gzip ;q=0.001": true, "br, gzip;q=1.0": true, "identity;q=0.5, gzip": true,
		"": false, "br": false, "identity": false, "gzip;q=0": false, "gzip; Q=0.000": false, "gzip;q=": false, "gzip;q=x": false, "gzip;level=9": false,
		"gzipped": false, "x-gzip": false, "*": false, ";": false, ",": false, strings.Repeat(",", 10_000): false} {
		if got := fetched(h, path, "Accept-Encoding: "+accepted).Header.Get("Content-Encoding") == "gzip"; got != want {
			t.Errorf("%.40q: compressed %t", accepted, got)
		}
	}
	if fetched(h, path, "Accept-Encoding: br", "Accept-Encoding: gzip").Header.Get("Content-Encoding") != "gzip" {
		t.Error("the second header is not read")
	}

	const gzips = "Accept-Encoding: gzip"
	plainTag, packedTag := plain.Header.Get("ETag"), packed.Header.Get("ETag")
	for name, c := range map[string]struct {
		headers []string
		code    int
		body    string
	}{
		"what is kept":                         {[]string{gzips, "If-None-Match: " + packedTag}, 304, ""},
		"the other form is kept":               {[]string{gzips, "If-None-Match: " + plainTag}, 200, body},
		"one of two is kept":                   {[]string{"If-None-Match: " + packedTag + ", " + plainTag}, 304, ""},
		"a part":                               {[]string{"Range: bytes=0-9"}, 206, text[:10]},
		"a part of what is compressed":         {[]string{gzips, "Range: bytes=10-19", "If-Range: " + packedTag}, 206, body[10:20]},
		"the rest of the other form":           {[]string{gzips, "Range: bytes=10-", "If-Range: " + plainTag}, 200, body},
		"a part beyond":                        {[]string{gzips, "Range: bytes=99999-"}, 416, "invalid range: failed to overlap\n"},
		"no part":                              {[]string{gzips, "Range: lines=1-2"}, 416, "invalid range\n"},
		"only if it is the same, and it isn't": {[]string{gzips, "If-Match: " + plainTag}, 412, ""},
	} {
		answer := fetched(h, path, c.headers...)
		if got := contents(t, answer); answer.StatusCode != c.code || got != c.body {
			t.Errorf("%s: %d %q", name, answer.StatusCode, got)
		}
		if (answer.StatusCode == 304 || answer.StatusCode == 416) && answer.Header.Get("Content-Encoding") != "" {
			t.Errorf("%s: what is not there is compressed", name)
		}
	}
	head := asked(h, "HEAD", path, gzips)
	if head.StatusCode != 200 || head.Header.Get("Content-Encoding") != "gzip" || head.Header.Get("ETag") != packedTag {
		t.Errorf("HEAD: %d %v", head.StatusCode, head.Header)
	}
	if first, second := represent([]byte(text)).compress(), represent([]byte(text)).compress(); !bytes.Equal(first.body, second.body) || first.hash != second.hash {
		t.Error("two processes compress the same differently")
	}
}

// Pages show what others must not read beside what a link may have put there; their length must
// not say whether the two are alike.
func TestPagesAreNotCompressed(t *testing.T) {
	h := withStyle(t, "a{}")
	for _, path := range []string{"/", "/nowhere", "/assets/nothing.css", "/health/alive", "/api/policy"} {
		if answer := fetched(h, path, "Accept-Encoding: gzip"); answer.Header.Get("Content-Encoding") != "" {
			t.Errorf("%s is compressed", path)
		}
	}
}

// opened counts how often a file was.
type opened struct {
	fs.FS
	times map[string]int
}

func (o opened) Open(name string) (fs.File, error) {
	o.times[name]++
	return o.FS.Open(name)
}

// Templates take more memory than anything else that is there at the start; only those of pages
// that somebody has opened are read, and each once.
func TestTemplatesAreReadWhenAPageIsOpened(t *testing.T) {
	files := opened{ownFiles(t), map[string]int{}}
	h := ofFiles(t, files)
	for range 3 {
		if answer := fetched(h, "/"); answer.StatusCode != 401 {
			t.Fatal(answer.StatusCode)
		}
	}
	for name, times := range files.times {
		if !strings.HasPrefix(name, "templates/") {
			continue
		}
		if want := strings.Contains("frame.html parts.html error.html", strings.TrimPrefix(name, "templates/")); !want || times != 1 {
			t.Errorf("%s was opened %d times", name, times)
		}
	}
	if files.times["templates/error.html"] != 1 {
		t.Errorf("%v", files.times)
	}
}

// What a template lacks is a refusal with an incident id, and not half a page.
func TestATemplateThatIsBrokenIsARefusal(t *testing.T) {
	files := ownFiles(t)
	files["templates/error.html"].Data = []byte("{{define \"content\"}}{{nothing}}{{end}}")
	h := ofFiles(t, files)
	for range 2 {
		answer := fetched(h, "/")
		if body := contents(t, answer); answer.StatusCode != 500 || strings.Contains(body, "<html") || !strings.Contains(body, "Incident") {
			t.Errorf("%d %s", answer.StatusCode, body)
		}
	}
}
