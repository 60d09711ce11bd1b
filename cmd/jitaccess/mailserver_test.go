package main

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/mail/smtptest"
	"jitaccess/internal/sandbox/google"
)

// connectProxy passes everything on to a port on loopback, to those who have the
// password.
func connectProxy(t *testing.T, port int, asked chan<- string) string {
	t.Helper()
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect || r.Header.Get("Proxy-Authorization") != "Basic aml0OkhVU0g=" {
			w.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
		asked <- r.Host
		server, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer server.Close()
		client, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer client.Close()
		io.WriteString(client, "HTTP/1.1 200 OK\r\n\r\n")
		go func() {
			defer server.Close()
			io.Copy(server, client)
		}()
		io.Copy(client, server)
	}))
	t.Cleanup(proxy.Close)
	return proxy.Listener.Addr().String()
}

// TestTheMailServerIsReachedAsConfigured: through the proxy, trusted by the
// operator's certificates alone, with the operator's addresses.
func TestTheMailServerIsReachedAsConfigured(t *testing.T) {
	asked := make(chan string, 10)
	server := smtptest.Start(t, smtptest.Options{Username: "jitaccess", Password: "correct horse", Certificate: smtptest.WrongName, ImplicitTLS: true})
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, server.Authority, 0o600); err != nil {
		t.Fatal(err)
	}
	secret := "projects/" + google.Believable(time.Now()).ServiceProject + "/secrets/ca/versions/1"
	proxy := connectProxy(t, server.Port, asked)
	// Its own certificate names this host.
	const host = "mail.example.org"
	address := net.JoinHostPort(host, strconv.Itoa(server.Port))
	for name, test := range map[string]struct {
		ca, proxy string
		says      string
	}{
		"certificates in a file":        {file, "http://jit:HUSH@" + proxy, ""},
		"certificates in a secret":      {secret, "http://jit:HUSH@" + proxy, ""},
		"a secret that is not there":    {secret + "1", "http://jit:HUSH@" + proxy, "Secret Manager answered 404"},
		"no certificates":               {"", "http://jit:HUSH@" + proxy, "certificate"},
		"another password of the proxy": {file, "http://jit:HUSH2@" + proxy, "407"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, surroundings{environment: map[string]string{
				"SMTP_HOST": host, "SMTP_PORT": strconv.Itoa(server.Port), "SMTP_OPTIONS": "mail.smtp.ssl.enable=true,mail.smtp.from=bounces@example.com",
				"SMTP_SECRET": "", "SMTP_PASSWORD": "correct horse", "SMTP_CA": test.ca, "ALL_PROXY": test.proxy, "NO_PROXY": "example.com",
				"SMTP_REPLY_TO": "help@example.com", "SMTP_RETURN_PATH": "others@example.com", "SMTP_CONFIRMATION_TO": "read@example.com",
			}})
			w.cloud.AddSecret("ca", server.Authority)
			before := len(server.Messages())
			a := w.api(alice, askURL, askBody(nil)).expect(t, 200, "reviewUrl")
			log := w.log.String()
			if strings.Contains(log, "HUSH") || strings.Contains(strings.Join(a.Warnings, ""), "HUSH") {
				t.Error("the password of the proxy is told")
			}
			if test.says != "" {
				if len(a.Warnings) == 0 || !strings.Contains(log, test.says) || len(server.Messages()) != before {
					t.Errorf("warned of %q; the log does not say %q: %s", a.Warnings, test.says, log)
				}
				return
			}
			if len(a.Warnings) > 0 || len(server.Messages()) != before+1 {
				t.Fatalf("warned of %q, %d mails: %s", a.Warnings, len(server.Messages())-before, log)
			}
			if to := <-asked; to != address {
				t.Errorf("the proxy was asked for %s, want %s", to, address)
			}
			got := server.Messages()[before]
			if got.From != "bounces@example.com" || !strings.Contains(got.Data, "Reply-To: <help@example.com>\r\n") ||
				!strings.Contains(got.Data, "Disposition-Notification-To: <read@example.com>\r\n") {
				t.Errorf("from %s:\n%s", got.From, got.Data)
			}
		})
	}
}
