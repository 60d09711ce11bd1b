package google

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// route is one method of one API. The braces of the template stand for one path
// segment each, or a part of one.
type route struct {
	method, template string
	pattern          *regexp.Regexp
	// scopes are those of which a token needs one; nil asks for no token.
	scopes   []string
	metadata bool
	// serve answers while the cloud's lock is held.
	serve func(*Cloud, *call) (any, error)
}

// call is one call of a route.
type call struct {
	*http.Request
	vars   map[string]string
	body   []byte
	caller identity
}

// text is an answer that is not JSON.
type text string

const maxBody = 10 << 20

var placeholder = regexp.MustCompile(`\\\{(\w+)\\\}`)

// compile turns a template into a pattern. A placeholder is greedy and may contain
// colons, as the id of a domain-scoped project does.
func compile(template string) *regexp.Regexp {
	return regexp.MustCompile("^" + placeholder.ReplaceAllString(regexp.QuoteMeta(template), `(?P<$1>[^/]+)`) + "$")
}

// routes is every method there is. Of two that fit, the first one counts, so the
// plain name of a resource comes after its verbs.
func routes() []route {
	var all []route
	for _, api := range [][]route{
		metadataRoutes, iapRoutes, credentialRoutes, tokenRoutes, secretRoutes, parameterRoutes, topicRoutes, assetRoutes,
		directoryRoutes, roleRoutes, resourceRoutes, accountRoutes, deploymentRoutes,
	} {
		for _, r := range api {
			r.pattern = compile(r.template)
			all = append(all, r)
		}
	}
	return all
}

// serve finds the route and answers, with whatever fault is due.
func (c *Cloud) serve(w http.ResponseWriter, r *http.Request, routes []route) {
	w.Header().Set("Date", c.now().UTC().Format(http.TimeFormat)) // clients compare it with their clock
	// Only when the body has been read does the server notice that a client has
	// gone away.
	body, err := readBody(w, r)
	if err != nil {
		respond(w, r, nil, err)
		return
	}
	at, vars := find(routes, r)
	if at == nil {
		w.Header().Set("Content-Type", "text/html; charset=UTF-8")
		w.WriteHeader(http.StatusNotFound)
		io.WriteString(w, "<!DOCTYPE html>\n<html lang=en>\n<title>Error 404 (Not Found)!!1</title>\n<p><b>404.</b> That’s an error.\n")
		return
	}
	c.calls.add(at.method + " " + at.template)
	if !at.metadata {
		Fault{Latency: c.latency}.before(w, r, c)
	}
	if spent := c.quotas.take(at.method+" "+at.template, len(body)); spent != nil {
		respond(w, r, nil, spent.refusal(c.ProjectNumber()))
		return
	}
	fault := c.faults.take(r.Method, r.URL.Path, at.template)
	if !fault.before(w, r, c) {
		return
	}
	answer, err := c.answer(at, &call{Request: r, vars: vars, body: body})
	fault.after(r)
	if at.metadata {
		w.Header().Set("Metadata-Flavor", "Google")
	}
	respond(w, r, answer, err)
}

// readBody is the body, which Google's libraries for Java compress.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	tooLarge := failure(http.StatusBadRequest, "Request payload size exceeds the limit: %d bytes.", maxBody)
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return nil, tooLarge
	}
	switch r.Header.Get("Content-Encoding") {
	case "", "identity":
		return body, nil
	case "gzip":
		unpacked, err := gzip.NewReader(bytes.NewReader(body))
		if err == nil {
			body, err = io.ReadAll(io.LimitReader(unpacked, maxBody+1))
		}
		if err != nil {
			return nil, invalid("Failed to decompress the request body.")
		}
		if len(body) > maxBody {
			return nil, tooLarge
		}
		return body, nil
	}
	return nil, invalid("The content encoding is not supported.")
}

func find(routes []route, r *http.Request) (*route, map[string]string) {
	for i := range routes {
		at := &routes[i]
		if at.method != r.Method {
			continue
		}
		m := at.pattern.FindStringSubmatch(r.URL.Path)
		if m == nil {
			continue
		}
		vars := map[string]string{}
		for j, name := range at.pattern.SubexpNames() {
			if name != "" {
				vars[name] = m[j]
			}
		}
		return at, vars
	}
	return nil, nil
}

func (c *Cloud) answer(at *route, k *call) (any, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if at.scopes != nil {
		caller, err := c.authenticate(k.Request, at.scopes)
		if err != nil {
			return nil, err
		}
		k.caller = caller
	}
	return at.serve(c, k)
}

func respond(w http.ResponseWriter, r *http.Request, answer any, err error) {
	if err != nil {
		var e *apiError
		if !errors.As(err, &e) {
			e = failure(http.StatusInternalServerError, "%v", err)
		}
		if e.code == http.StatusUnauthorized && !e.oauth {
			w.Header().Set("WWW-Authenticate", `Bearer realm="https://accounts.google.com/"`)
		}
		if e.retryAfter > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(e.retryAfter.Seconds()))))
		}
		w.Header().Set("Content-Type", "application/json; charset=UTF-8")
		w.WriteHeader(e.code)
		w.Write(encode(e.body(), true))
		return
	}
	if t, ok := answer.(text); ok {
		w.Header().Set("Content-Type", "application/text")
		io.WriteString(w, string(t))
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.Write(encode(answer, r.URL.Query().Get("prettyPrint") != "false"))
}

// read decodes the body as Google does: a field that it does not know is an error.
func (k *call) read(into any) error {
	if len(bytes.TrimSpace(k.body)) == 0 {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(k.body))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
			return invalid("Invalid JSON payload received. Unknown name %s: Cannot find field.", name)
		}
		return invalid("Invalid JSON payload received. %v", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return invalid("Invalid JSON payload received. Unexpected token after the end of the value.")
	}
	return nil
}

// timestamp is a moment in the form that Google's APIs write.
func timestamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
