package server_test

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"jitaccess/internal/access"
	"jitaccess/internal/broker/brokertest"
	"jitaccess/internal/server"
	"jitaccess/internal/server/storybook"
)

// TestPagesAsText plays testdata/*.txt. Lines are
//
//	# a comment
//	as PERSON                   from now on; "as nobody" is nobody
//	given METHOD fails KIND CODE    the broker's method fails; "given METHOD works" again
//	given mail fails | no mail | no address
//	given policy FILE           of examples/policy holds; "given policy guide" is that of docs/policy.md
//	given rules RULES           are those of the policy, in a line
//	given memory                the store remembers
//	given PERSON in GROUP
//	given mail account | mail account fails | no mail account
//	with HEADER: VALUE          for the next request
//	GET PATH, HEAD PATH         a request, with its query
//	POST PATH                   a form; its fields follow, indented, as NAME=VALUE
//	API METHOD PATH             the JSON interface; the body follows, indented
//	follow                      GET where the last answer redirected to; "again" is the same once more
//	code == STATUS
//	header NAME == VALUE, header NAME contains TEXT
//	body contains TEXT, body !contains TEXT
//	raw contains TEXT, raw !contains TEXT
//
// A body is compared with entities resolved and space folded, unless it is raw.
func TestPagesAsText(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			lines, err := os.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			defer lines.Close()
			s := &script{t: t, world: newWorld(t), file: file}
			s.play(lines)
		})
	}
}

type script struct {
	t       *testing.T
	world   *world
	handler http.Handler
	file    string
	line    int
	person  string
	headers http.Header
	// pending is a request whose fields are still being read.
	pending *pendingRequest
	answer  *http.Response
	// raw is the body as sent, body the same as people read it.
	raw, body string
	noURL     bool
	account   *storybook.Account
	followed  string
}

type pendingRequest struct {
	method, path string
	api          bool
	fields       url.Values
	json         string
}

func (s *script) play(r io.Reader) {
	s.headers = http.Header{}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		s.line++
		line := lines.Text()
		if strings.HasPrefix(line, "\t") || strings.HasPrefix(line, "  ") {
			s.field(strings.TrimLeft(line, " \t"))
			continue
		}
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if s.pending != nil {
			s.send()
		}
		s.command(s.named(line))
	}
	s.send()
	if s.answer == nil {
		s.fail("no request was made")
	}
}

func (s *script) fail(format string, args ...any) {
	s.t.Helper()
	s.t.Fatalf("%s:%d: %s", s.file, s.line, fmt.Sprintf(format, args...))
}

func (s *script) field(text string) {
	switch {
	case s.pending == nil:
		s.fail("a field without a request")
	case s.pending.api:
		s.pending.json += text + "\n"
	default:
		name, value, ok := strings.Cut(text, "=")
		if !ok {
			s.fail("not a field: %s", text)
		}
		if unquoted, err := strconv.Unquote(value); err == nil {
			value = unquoted
		}
		if name == "id" {
			value = aliases.ReplaceAllStringFunc(value, s.form)
		}
		s.pending.fields.Add(name, s.named(value))
	}
}

// aliases are names of forms, and of the requests that are sent with them, by a letter.
var aliases = regexp.MustCompile(`(jit|mpa)-[A-Z]{16}`)

// form is the number of a form that the person has opened.
func (s *script) form(alias string) string {
	number, err := access.NewForm(strings.NewReader(alias[4:8]), access.KindOfID(alias), access.Principal(s.person), noon)
	if err != nil {
		s.fail("%v", err)
	}
	return number
}

// named puts the ids of requests that were made in place of their names, and the numbers
// of forms where a field has them.
func (s *script) named(line string) string {
	return aliases.ReplaceAllStringFunc(line, func(alias string) string {
		if strings.Contains(line, `value="`+alias) {
			return s.form(alias)
		}
		return cmp.Or(s.world.numbers[alias[4:8]+"/"+string(access.KindOfID(alias))], alias)
	})
}

func (s *script) command(line string) {
	word, rest, _ := strings.Cut(line, " ")
	switch word {
	case "GET", "HEAD", "POST":
		s.send()
		s.pending = &pendingRequest{method: word, path: rest, fields: url.Values{}}
	case "API":
		s.send()
		method, path, _ := strings.Cut(rest, " ")
		s.pending = &pendingRequest{method: method, path: path, api: true}
	case "follow":
		s.send()
		s.followed = s.answer.Header.Get("Location")
		s.pending = &pendingRequest{method: "GET", path: s.followed, fields: url.Values{}}
	case "again":
		s.send()
		s.pending = &pendingRequest{method: "GET", path: s.followed, fields: url.Values{}}
	case "as":
		s.send()
		if s.person = rest; rest == "nobody" {
			s.person = ""
		}
	case "with":
		s.send()
		name, value, _ := strings.Cut(rest, ":")
		s.headers.Set(name, strings.TrimSpace(value))
	case "given":
		s.send()
		s.given(rest)
	default:
		s.send()
		s.expect(word, rest)
	}
}

var kindsByName = map[string]access.Kind{}

func init() {
	for k := access.Internal; k <= access.TimedOut; k++ {
		kindsByName[strings.ReplaceAll(k.String(), " ", "-")] = k
	}
}

func (s *script) given(rest string) {
	switch words := strings.Fields(rest); {
	case rest == "mail fails":
		s.world.Undelivered = access.Receipts{{To: ben, Channel: "mail", Err: errors.New("550")}}
	case rest == "mail account":
		s.account = storybook.NewAccount()
	case rest == "mail account fails":
		*s.account = *storybook.FailingAccount()
	case rest == "no mail account":
		*s.account = storybook.Account{}
	case rest == "no mail":
		s.world.Silent = true
	case rest == "Pub/Sub alone":
		s.world.Machines = true
	case rest == "policy guide":
		text, err := os.ReadFile("../../docs/policy.md")
		_, first, _ := strings.Cut(string(text), "```yaml\n")
		first, _, found := strings.Cut(first, "```")
		if err != nil || !found {
			s.fail("the guide has no policy: %v", err)
		}
		s.world.Ruled(first)
	case words[0] == "rules":
		s.world.Ruled("version: 1\nrules: " + strings.TrimPrefix(rest, "rules "))
	case rest == "memory":
		s.world.Forgets, s.world.Settings.MaxReviewers = false, 5
	case len(words) == 3 && words[1] == "in":
		p := access.Principal(words[0])
		s.world.GroupsOf[p] = append(s.world.GroupsOf[p], words[2])
	case len(words) == 2 && words[0] == "policy":
		s.world.Holdings[ana] = append(s.world.Holdings[ana], brokertest.Peer(storybook.Owner))
		s.world.Ruled(examplePolicy(s.t, words[1]))
	case rest == "no address":
		s.noURL, s.handler = true, nil
	case len(words) == 2 && words[1] == "works":
		delete(s.world.fails, words[0])
	case len(words) == 4 && words[1] == "fails":
		kind, ok := kindsByName[words[2]]
		if !ok {
			s.fail("no such kind: %s", words[2])
		}
		s.world.fails[words[0]] = &access.Error{Kind: kind, Code: access.Code(words[3]), Args: access.Args{"service": "Google Cloud"}, Err: fmt.Errorf("secret cause")}
	default:
		s.fail("cannot give %s", rest)
	}
}

// send sends the pending request, if there is one.
func (s *script) send() {
	p := s.pending
	if s.pending = nil; p == nil {
		return
	}
	if s.handler == nil {
		s.handler, _ = serve(s.t, s.world, func(c *server.Config) {
			if s.noURL {
				c.PublicURL = ""
			}
			if s.account != nil {
				c.Accounts = []server.Account{s.account}
			}
		})
	}
	var body io.Reader
	if p.method == "POST" && !p.api {
		body = strings.NewReader(p.fields.Encode())
	} else if p.json != "" {
		body = strings.NewReader(p.json)
	}
	r := httptest.NewRequest(p.method, p.path, body)
	r.Host = "access.example.com"
	r.Header.Set(personHeader, s.person)
	switch {
	case p.api:
		r.Header.Set("X-JITACCESS", "1")
		if p.json != "" {
			r.Header.Set("Content-Type", "application/json")
		}
	case p.method == "POST":
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	for name, values := range s.headers {
		if r.Header.Del(name); values[0] != "" {
			r.Header[name] = values
		}
	}
	s.headers = http.Header{}
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	s.answer = w.Result()
	s.raw = w.Body.String()
	s.body = fold(html.UnescapeString(s.raw))
}

func fold(text string) string { return strings.Join(strings.Fields(text), " ") }

func (s *script) expect(word, rest string) {
	if s.answer == nil {
		s.fail("%s before any request", word)
	}
	switch word {
	case "code":
		if want := strings.TrimPrefix(rest, "== "); strconv.Itoa(s.answer.StatusCode) != want {
			s.fail("code is %d, want %s; body:\n%s", s.answer.StatusCode, want, s.body)
		}
	case "header":
		name, rest, _ := strings.Cut(rest, " ")
		op, want, _ := strings.Cut(rest, " ")
		got := s.answer.Header.Get(name)
		if op == "==" && got != want || op == "contains" && !strings.Contains(got, want) || op != "==" && op != "contains" {
			s.fail("header %s is %q, want %s %q", name, got, op, want)
		}
	case "body", "raw":
		op, want, _ := strings.Cut(rest, " ")
		has := strings.Contains(s.body, fold(want))
		if word == "raw" {
			has = strings.Contains(s.raw, want)
		}
		if op == "contains" && !has || op == "!contains" && has || op != "contains" && op != "!contains" {
			s.fail("body should: %s %s; it is\n%s", op, want, s.body)
		}
	default:
		s.fail("what is %q?", word)
	}
}
