package sandbox_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"

	"jitaccess/internal/sandbox"
	"jitaccess/internal/sandbox/google"
)

// start runs a sandbox around the service for as long as the test.
func start(t *testing.T, service http.HandlerFunc) *sandbox.Sandbox {
	t.Helper()
	// Whatever the machine that runs the tests is.
	t.Setenv("K_SERVICE", "")
	t.Setenv("GAE_SERVICE", "")
	s, err := sandbox.Start(t.Context(), sandbox.Options{Address: "localhost:0", Storybook: http.HandlerFunc(story)})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(service) }()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return s
}

// story stands for the storybook.
func story(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "story "+r.URL.Path) }

// browser is a visitor with a cookie jar who stays where redirects lead.
func browser(t *testing.T) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Jar: jar}
}

func do(t *testing.T, c *http.Client, method, url, body string, header ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		if strings.EqualFold(header[i], "Host") {
			r.Host = header[i+1]
		} else {
			r.Header[header[i]] = []string{header[i+1]} // as spelt
		}
	}
	response, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(text)
}

const form = "application/x-www-form-urlencoded"

func signIn(t *testing.T, c *http.Client, s *sandbox.Sandbox, email, back string) (*http.Response, string) {
	t.Helper()
	body := url.Values{"email": {email}, "return": {back}}.Encode()
	return do(t, c, "POST", s.URL()+"/sandbox/sign-in", body, "Content-Type", form, "Origin", s.URL())
}

func people(t *testing.T, s *sandbox.Sandbox) (a, b google.Person) {
	t.Helper()
	all := s.Cloud().People()
	if len(all) < 2 {
		t.Fatal("a sandbox needs at least two people")
	}
	return all[0], all[1]
}

func TestRefusesToStartWhereARealServiceRuns(t *testing.T) {
	for _, variable := range []string{"GAE_SERVICE", "K_SERVICE"} {
		t.Run(variable, func(t *testing.T) {
			t.Setenv("GAE_SERVICE", "")
			t.Setenv("K_SERVICE", "")
			t.Setenv(variable, "default")
			if s, err := sandbox.Start(t.Context(), sandbox.Options{Address: "localhost:0"}); err == nil {
				s.Close()
				t.Error("Start: want an error")
			} else if !strings.Contains(err.Error(), variable) {
				t.Errorf("Start: %v, want it to name %s", err, variable)
			}
			if err := sandbox.ServeGoogle(t.Context(), "localhost:0", io.Discard); err == nil {
				t.Error("ServeGoogle: want an error")
			}
		})
	}
}

func TestListensOnLoopbackOnly(t *testing.T) {
	t.Setenv("K_SERVICE", "")
	t.Setenv("GAE_SERVICE", "")
	for _, address := range []string{":0", "0.0.0.0:0", "[::]:0", "192.0.2.1:0", "example.com:0", "localhost.example.com:0", "localhost", ""} {
		for name, o := range map[string]sandbox.Options{
			"people": {Address: address, GoogleAddress: "127.0.0.1:0"},
			"google": {Address: "localhost:0", GoogleAddress: address},
		} {
			if address == "" {
				continue // the default, which is loopback
			}
			if s, err := sandbox.Start(t.Context(), o); err == nil {
				s.Close()
				t.Errorf("%s at %q: want an error", name, address)
			}
		}
	}
}

func TestTakesBothLoopbackAddressesOrNone(t *testing.T) {
	t.Setenv("K_SERVICE", "")
	t.Setenv("GAE_SERVICE", "")
	stranger, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		// Without IPv6 there is no stranger to meet.
		stranger, err = net.Listen("tcp4", "127.0.0.1:0")
	}
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	_, port, _ := net.SplitHostPort(stranger.Addr().String())
	if s, err := sandbox.Start(t.Context(), sandbox.Options{Address: "localhost:" + port}); err == nil {
		s.Close()
		t.Error("want an error when someone else has the port")
	}
}

func TestEndsWithItsContext(t *testing.T) {
	t.Setenv("K_SERVICE", "")
	t.Setenv("GAE_SERVICE", "")
	ctx, cancel := context.WithCancel(t.Context())
	s, err := sandbox.Start(ctx, sandbox.Options{Address: "localhost:0"})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := s.Serve(http.NotFoundHandler()); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestEnvironmentIsThatOfCloudRunBehindIAP(t *testing.T) {
	s := start(t, http.NotFound)
	environment := s.Environment()
	for _, variable := range []string{
		"PORT", "K_SERVICE", "GCE_METADATA_HOST", "JITACCESS_GOOGLE_ENDPOINT", "PUBLIC_URL", "RESOURCE_SCOPE",
		"RESOURCE_CUSTOMER_ID", "SMTP_HOST", "SMTP_PORT", "SMTP_SENDER_ADDRESS", "SMTP_USERNAME", "SMTP_SECRET",
	} {
		if environment[variable] == "" {
			t.Errorf("%s is not set", variable)
		}
	}
	if environment["PUBLIC_URL"] != s.URL() || environment["RESOURCE_CATALOG"] != "AssetInventory" {
		t.Errorf("PUBLIC_URL %q, RESOURCE_CATALOG %q", environment["PUBLIC_URL"], environment["RESOURCE_CATALOG"])
	}
	if _, set := environment["SMTP_PASSWORD"]; set {
		t.Error("the password is in the environment; it belongs in Secret Manager")
	}
}

// outWriter passes on the first write, by which the server has begun to listen.
type outWriter chan string

func (o outWriter) Write(p []byte) (int, error) { o <- string(p); return len(p), nil }

func TestGoogleAloneSaysHowToUseIt(t *testing.T) {
	t.Setenv("K_SERVICE", "")
	t.Setenv("GAE_SERVICE", "")
	ctx, cancel := context.WithCancel(t.Context())
	out, ended := make(outWriter, 1), make(chan error, 1)
	go func() { ended <- sandbox.ServeGoogle(ctx, "127.0.0.1:0", out) }()
	text := <-out
	for _, line := range []string{"CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDRESOURCEMANAGER=http://", "RESOURCE_SCOPE=organizations/482093157016 "} {
		if !strings.Contains(text, line) {
			t.Errorf("does not say %s: %q", line, text)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
