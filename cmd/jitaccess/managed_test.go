package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"html"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// managedWorld is a world in which Carol and Frank manage applications by page.
func managedWorld(t testing.TB, change map[string]string) *world {
	t.Helper()
	environment := map[string]string{"DATABASE_URL": "sqlite:" + filepath.Join(t.TempDir(), "jitaccess.db"), "SIGNING_KEY": crashKey,
		"K_SERVICE": "", "IAP_AUDIENCE": "/projects/264853019977/locations/europe-west1/services/jitaccess",
		"SEAL_KEY": base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{5}, 32)), "ADMINS": "user:" + carol + ",user:" + frank}
	for name, value := range change {
		environment[name] = value
	}
	return newWorld(t, surroundings{environment: environment})
}

// field is the value of the first field of that name on a page.
func field(t testing.TB, page, name string) string {
	t.Helper()
	found := regexp.MustCompile(`name="` + name + `" value="([^"]*)"`).FindStringSubmatch(page)
	if found == nil {
		t.Fatalf("there is no field %s on the page\n%s", name, page)
	}
	return html.UnescapeString(found[1])
}

// manages makes an application with a template on which both administrators agree, and returns
// its key and its page.
func (w *world) manages(name, uri string) (key string, page answer) {
	w.t.Helper()
	made := w.form(carol, "/apps", url.Values{"name": {name}, "uri": {uri}}).expect(w.t, 200)
	shown := regexp.MustCompile(`<input id="key" type="text" value="([^"]+)"`).FindStringSubmatch(made.body)
	if shown == nil {
		w.t.Fatal(made.body)
	}
	w.form(carol, "/apps/"+name+"/template", url.Values{"number": {"1"}, "new": {"1"}, "key": {"production-deploy"}, "name": {"Production deploy"},
		"title": {"Deploy {version}"}, "type": {"approve"}, "data": {"version | Version | v[0-9.]+"}, "approvers": {"user:" + bob}, "approvals": {"1"},
		"max": {"120"}, "default": {"30"}, "life": {"60"}, "metadata": {"team = shop"}, "active": {"1"}}).expect(w.t, 200)
	w.form(frank, "/apps/"+name, url.Values{"number": {"2"}, "do": {"agree"}, "confirmed": {"1"}}).expect(w.t, 200)
	return html.UnescapeString(shown[1]), w.page(carol, "/apps/"+name).expect(w.t, 200)
}

// Of a change that lets more happen the other administrator gets a mail, or where there is none
// auditors do; what only takes away is told nobody.
func TestWhoGetsMailsOfApplications(t *testing.T) {
	w := managedWorld(t, map[string]string{"AUDITORS": "user:" + alice})
	w.manages("deployer", "https://deploy.example.com")
	mails := func() (all []string) {
		for _, m := range w.mail.Messages() {
			subject := regexp.MustCompile(`(?m)^Subject: (.*?)\r?$`).FindStringSubmatch(m.Data)
			all = append(all, strings.Join(m.To, ",")+": "+subject[1])
		}
		return all
	}
	want := []string{frank + ": A change of application deployer waits for you"}
	if got := mails(); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if data := w.mail.Messages()[0].Data; !strings.Contains(data, w.public+"/apps/deployer") {
		t.Errorf("the mail does not lead to the change: %s", data)
	}
	w.restart(map[string]string{"ADMINS": "user:" + carol})
	change := func(number, do string) {
		t.Helper()
		w.form(carol, "/apps/deployer", url.Values{"number": {number}, "do": {do}, "uri": {"https://deploy.example.com"}, "hosts": {"hooks.example.com"}}).
			expect(t, 200)
	}
	change("3", "settings")
	change("4", "off")
	if got, want := mails(), append(want, alice+": "+carol+" changed application deployer alone"); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	alert := regexp.MustCompile(`"severity":"ALERT"[^\n]*changed application[^\n]*nobody else could have agreed: hosts`)
	if !alert.MatchString(w.log.String()) {
		t.Errorf("there is no alert in the log: %s", w.log)
	}
}

// Code that stands on the page of an application runs as it stands there, once the values of the
// data are put in: with the key that was shown, to where programs find the service.
func TestCodeOnThePageOfAnApplicationRuns(t *testing.T) {
	modules, err := filepath.Abs("testdata/programs/node_modules")
	if _, missing := os.Stat(modules + "/njwt"); err != nil || missing != nil {
		t.Fatal("njwt is not installed; make test does that", err, missing)
	}
	w := managedWorld(t, nil)
	w.restart(map[string]string{"MACHINES_URL": w.url})
	key, page := w.manages("deployer", "https://deploy.example.com/it's-$(exit)%25d")
	blocks := regexp.MustCompile(`(?s)<pre tabindex="0"><code>(.*?)</code></pre>`).FindAllStringSubmatch(page.body, -1)
	programs := []struct {
		name    string
		command []string
	}{{"ask.mjs", []string{"node"}}, {"ask.py", []string{"/usr/bin/python3"}}, {"ask.sh", []string{"sh", "-eu"}}}
	if len(blocks) != len(programs) {
		t.Fatalf("there are %d programs on the page, and %d known", len(blocks), len(programs))
	}
	for i, program := range programs {
		t.Run(program.name, func(t *testing.T) {
			code := html.UnescapeString(blocks[i][1])
			if !strings.Contains(code, w.url) || strings.Contains(code, w.public) || strings.Contains(code, key) {
				t.Errorf("it asks elsewhere, or has the key in it:\n%s", code)
			}
			folder := t.TempDir()
			if err := os.Symlink(modules, filepath.Join(folder, "node_modules")); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(folder, program.name), []byte(strings.ReplaceAll(code, "…", "v1.2")), 0o600); err != nil {
				t.Fatal(err)
			}
			command := exec.CommandContext(t.Context(), program.command[0], append(program.command[1:], program.name)...)
			command.Dir, command.Env = folder, append(os.Environ(), "APP_KEY="+key)
			var said bytes.Buffer
			command.Stdout = &said
			told, err := command.StderrPipe()
			if err == nil {
				err = command.Start()
			}
			if err != nil {
				t.Fatal(err)
			}
			var link []string
			all := ""
			for lines := bufio.NewScanner(told); link == nil && lines.Scan(); all += lines.Text() + "\n" {
				link = regexp.MustCompile(regexp.QuoteMeta(w.public) + `(/[^" ]+)`).FindStringSubmatch(lines.Text())
			}
			if link == nil {
				t.Fatal(command.Wait(), all, code, w.log.String())
			}
			if page := w.page(bob, link[1]); !strings.Contains(page.body, "Deploy v1.2") || !strings.Contains(page.body, carol) {
				t.Errorf("Bob is not shown what is asked for: %s", page.body)
			}
			ref, err := url.Parse(link[1])
			if err != nil {
				t.Fatal(err)
			}
			if a := w.form(bob, reviewPath(ref.Query().Get("activation")), url.Values{"verdict": {"approve"}}); a.status >= 400 {
				t.Fatal(a.status, a.body)
			}
			rest, _ := io.ReadAll(told)
			if err := command.Wait(); err != nil {
				t.Fatal(err, all, string(rest), said.String())
			}
			if !regexp.MustCompile(`eyJ[\w-]+\.eyJ[\w-]+\.[\w-]+`).MatchString(said.String()) {
				t.Errorf("it collected no token: %s", said.String())
			}
		})
	}
}

// A trial request is a real one, for who sends it: approvers are asked, decide, and it ends as
// all do. The form sent again is the same request.
func TestATrialRequestIsDecided(t *testing.T) {
	w := managedWorld(t, nil)
	_, page := w.manages("deployer", "https://deploy.example.com")
	trial := url.Values{"id": {field(t, page.body, "id")}, "template": {"production-deploy"}, "data.version": {"v1.2"}}
	sent := w.form(carol, "/apps/deployer/trial", trial).expect(t, 303)
	if again := w.form(carol, "/apps/deployer/trial", trial).expect(t, 303); again.location != sent.location {
		t.Errorf("the form sent again makes %s beside %s", again.location, sent.location)
	}
	mine := w.page(carol, sent.location).expect(t, 200)
	if !strings.Contains(mine.body, "Deploy v1.2") {
		t.Errorf("its page does not show what is asked for: %s", mine.body)
	}
	id := strings.TrimPrefix(sent.location, "/requests/")
	if got := w.mail.Messages(); len(got) == 0 || !slices.Contains(got[len(got)-1].To, bob) {
		t.Error("Bob gets no mail")
	}
	for _, who := range []string{carol, alice} {
		if a := w.form(who, reviewPath(id), url.Values{"verdict": {"approve"}}); a.status < 400 {
			t.Errorf("%s approves it: %d", who, a.status)
		}
	}
	if a := w.form(bob, reviewPath(id), url.Values{"verdict": {"approve"}}); a.status >= 400 {
		t.Fatal(a.status, a.body)
	}
	if a := w.form(carol, "/requests/"+id+"/end", url.Values{"resource": {"apps/deployer"}}); a.status >= 400 {
		t.Errorf("it cannot be ended: %d %s", a.status, a.body)
	}
	w.pass(time.Minute) // as many as these are too fast
	for name, bad := range map[string]url.Values{
		"data that does not match": {"id": {"000102030405060708090a0b"}, "template": {"production-deploy"}, "data.version": {"1"}},
		"data that there is none":  {"id": {"000102030405060708090a0c"}, "template": {"production-deploy"}, "data.version": {"v1"}, "data.x": {"1"}},
		"no data":                  {"id": {"000102030405060708090a0d"}, "template": {"production-deploy"}},
		"another template":         {"id": {"000102030405060708090a0e"}, "template": {"x"}, "data.version": {"v1"}},
		"other data as before":     {"id": trial["id"], "template": {"production-deploy"}, "data.version": {"v2"}},
	} {
		want := 400
		if name == "other data as before" {
			want = 409
		}
		if a := w.form(carol, "/apps/deployer/trial", bad); a.status != want {
			t.Errorf("%s: %d, want %d", name, a.status, want)
		}
	}
}

// Once SEAL_KEY has a newer key in front, keys are sealed anew and the older one can go; doctor
// says which are lost by their application and id, and never what they are.
func TestSealKeyIsReplaced(t *testing.T) {
	w := managedWorld(t, nil)
	key, page := w.manages("deployer", "https://deploy.example.com")
	id := regexp.MustCompile(`<input type="hidden" name="key" value="([^"]+)"><button class="danger"`).FindStringSubmatch(page.body)
	if id == nil {
		t.Fatal(page.body)
	}
	older, newer := w.Environment["SEAL_KEY"], base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{8}, 32))
	asks := func() int {
		claims := jwt.MapClaims{"iss": "https://deploy.example.com", "aud": w.public, "sub": alice, "exp": w.now().Add(5 * time.Minute).Unix()}
		secret, _ := base64.StdEncoding.DecodeString(key)
		token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString(secret)
		if err != nil {
			t.Fatal(err)
		}
		return w.call("", "GET", "/v1/approvals/mpa-none", "", "Authorization", "Bearer "+token).status
	}
	examined := func(sealKey string) string {
		var out bytes.Buffer
		examine(t.Context(), w.env(map[string]string{"SEAL_KEY": sealKey}), recipients{}, w.mail.Roots, &out)
		if strings.Contains(out.String(), key) {
			t.Error("doctor tells the key")
		}
		return out.String()
	}
	lost := "broken   applications: no key of SEAL_KEY opens the key " + id[1] + " of deployer"
	for _, step := range []struct{ sealKey, doctor string }{
		{older, "ok       applications: every key of applications that are managed at /apps can be opened: 1"},
		{newer, lost},
		{"", "broken   applications: applications that are managed at /apps cannot ask: SEAL_KEY is not set"},
		{newer + "," + older, "warning  applications: keys are sealed with an older one"},
	} {
		if got := examined(step.sealKey); !strings.Contains(got, step.doctor) {
			t.Errorf("%q is not in\n%s", step.doctor, got)
		}
	}
	anew := w.log.waits("keys of applications were sealed anew")
	w.restart(map[string]string{"SEAL_KEY": newer + "," + older})
	<-anew
	if got := examined(newer); !strings.Contains(got, "ok       applications: every key of applications that are managed at /apps can be opened: 1") || asks() != 404 {
		t.Errorf("with the newer key alone it asks with %d, and\n%s", asks(), got)
	}
	w.restart(map[string]string{"SEAL_KEY": newer})
	if asks() != 404 {
		t.Errorf("without the older key: %d", asks())
	}
	if got := examined(older); !strings.Contains(got, lost) {
		t.Errorf("%q is not in\n%s", lost, got)
	}
	w.restart(map[string]string{"SEAL_KEY": older})
	if asks() != 503 { // nobody can tell whether it is the application
		t.Errorf("with the older key alone: %d", asks())
	}
}
