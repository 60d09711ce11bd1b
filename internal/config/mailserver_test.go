package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// certificate is one that signs itself; nobody has its key.
const certificate = `-----BEGIN CERTIFICATE-----
MIIBiTCCAS+gAwIBAgIUcIssYiOKtZ/JNn7SYibljYQULtwwCgYIKoZIzj0EAwIw
GTEXMBUGA1UEAwwOVGVzdCBhdXRob3JpdHkwIBcNMjYxMTIyMDQyMzIwWhgPMjEy
NjEwMjkwNDIzMjBaMBkxFzAVBgNVBAMMDlRlc3QgYXV0aG9yaXR5MFkwEwYHKoZI
zj0CAQYIKoZIzj0DAQcDQgAEEF5QuZEghlUVmPcpAFLVlyFlH8ymVTKC3SPYoOAS
hJeRz4ux1wHMjxo9LM8o8LmBzyljql3JOeuSSHxDhSXVhKNTMFEwHQYDVR0OBBYE
FGziDv1O8IN7UjlEyLr69usDtTt+MB8GA1UdIwQYMBaAFGziDv1O8IN7UjlEyLr6
9usDtTt+MA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDSAAwRQIhAIVlzuD0
pjX00xP0mmWOqpf6szVQH9cMdfWF+JXX0C2mAiAMU07/eM5N1TwdVyDVt8ocOZjE
tJr7ik/ioQFDj4bURA==
-----END CERTIFICATE-----
`

func TestAddressesBesidesTheSenders(t *testing.T) {
	c := mustRead(t, "SMTP_SENDER_ADDRESS=jit@example.com",
		"SMTP_REPLY_TO=Help@example.com", "SMTP_RETURN_PATH=Bounces@example.com", "SMTP_CONFIRMATION_TO=Read@example.com").Mail
	if c.ReplyTo != "help@example.com" || c.ReturnPath != "bounces@example.com" || c.ConfirmationTo != "read@example.com" {
		t.Errorf("got %q, %q, %q", c.ReplyTo, c.ReturnPath, c.ConfirmationTo)
	}
	c = mustRead(t, "SMTP_SENDER_ADDRESS=jit@example.com", "SMTP_RETURN_PATH=bounces@example.com", "SMTP_OPTIONS=mail.smtp.from=others@example.com").Mail
	if c.ReturnPath != "others@example.com" {
		t.Errorf("the return path is %q, want that of the options", c.ReturnPath)
	}
	for _, variable := range []string{"SMTP_REPLY_TO", "SMTP_RETURN_PATH", "SMTP_CONFIRMATION_TO"} {
		for _, address := range []string{
			"jit", "jit@", "@example.com", "JIT <jit@example.com>", "jit@example.com, x@example.com", `"j i t"@example.com`,
			"jit@example.com> SIZE=1", "jit@example.com\r\nBcc: x@example.com", "jit\x00@example.com", "jit@@example.com", "jit@ex\u0430mple.com",
			"robot@shop.iam.gserviceaccount.com", strings.Repeat("x", 255) + "@example.com",
		} {
			got := faults(t, with("SMTP_SENDER_ADDRESS=jit@example.com", variable+"="+address))
			if len(got) != 1 || got[0].Variable != variable || !strings.Contains(got[0].Error(), "local@domain") {
				t.Errorf("%s=%q: faults %v", variable, address, got)
			}
			// An option that replaces it makes it no better.
			if variable == "SMTP_RETURN_PATH" && len(faults(t, with("SMTP_SENDER_ADDRESS=jit@example.com", variable+"="+address, "SMTP_OPTIONS=mail.smtp.from=x@example.com"))) != 1 {
				t.Errorf("%s=%q: no fault beside the option", variable, address)
			}
		}
		if got := faults(t, with(variable+"=nonsense")); got != nil {
			t.Errorf("%s without mail: faults %v", variable, got)
		}
	}
}

func TestTheCertificatesOfAnAuthority(t *testing.T) {
	folder := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := write("good.pem", certificate)
	for _, test := range []struct{ value, fault string }{
		{good, ""},
		{write("among others.pem", "somebody wrote this\n"+certificate+certificate), ""},
		{"projects/p/secrets/ca/versions/latest", ""},
		{"projects/p/secrets/ca", "must be the path"},
		{filepath.Join(folder, "none.pem"), "cannot be read: no such file"},
		{folder, "cannot be read: is a directory"},
		{write("empty.pem", ""), "no certificate"},
		{write("text.pem", "hello"), "no certificate"},
		{write("cut.pem", certificate[:200]), "no certificate"},
		{write("key.pem", "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA==\n-----END PRIVATE KEY-----\n"), "no certificate"},
		{certificate, "cannot be read"},
	} {
		got := faults(t, with("SMTP_SENDER_ADDRESS=jit@example.com", "SMTP_CA="+test.value))
		if test.fault == "" && got != nil || test.fault != "" && (len(got) != 1 || got[0].Variable != "SMTP_CA" || !strings.Contains(got[0].Error(), test.fault)) {
			t.Errorf("%q: faults %v, want %q", test.value, got, test.fault)
		}
	}
}

func TestTheProxyToTheMailServer(t *testing.T) {
	for text, want := range map[string]string{
		"http://proxy.example.com:3128":           "http://proxy.example.com:3128",
		"https://proxy.example.com:443/":          "https://proxy.example.com:443",
		"socks5://127.0.0.1:1080":                 "socks5://127.0.0.1:1080",
		"socks5://[2001:db8::1]:1080":             "socks5://[2001:db8::1]:1080",
		"http://jit:p%40ss%3Aword@10.0.0.1:3128":  "http://jit:p%40ss%3Aword@10.0.0.1:3128",
		"http://jit@proxy.example.com:3128":       "http://jit@proxy.example.com:3128",
		" HTTP://proxy.example.com:3128 ":         "http://proxy.example.com:3128",
		"http://user:HUSH@proxy.example.com:3128": "http://user:HUSH@proxy.example.com:3128",
	} {
		if got := mustRead(t, "SMTP_SENDER_ADDRESS=jit@example.com", "all_proxy="+text, "NO_PROXY=.example.org").Mail; got.ProxyURL().String() != want || got.NoProxy != ".example.org" {
			t.Errorf("%q is read as %q", text, got.ProxyURL())
		}
	}
	if got := mustRead(t, "SMTP_SENDER_ADDRESS=jit@example.com").Mail.ProxyURL(); got != nil {
		t.Errorf("no proxy is %v", got)
	}
	for _, text := range []string{
		"proxy.example.com:3128", "//proxy.example.com:3128", "http://proxy.example.com", "http://:3128", "http://proxy.example.com:0", "http://proxy.example.com:65536",
		"http://proxy.example.com:http", "ftp://proxy.example.com:21", "socks4://proxy.example.com:1080", "socks://proxy.example.com:1080", "http:proxy.example.com:3128",
		"http://proxy.example.com:3128/path", "http://proxy.example.com:3128?x", "http://proxy.example.com:3128?", "http://proxy.example.com:3128#x",
		"http://user:HUSH@proxy.example.com", "http://user:HU%zzSH@proxy.example.com:1", "http://:HUSH@proxy.example.com:1", "HUSH", "http://pr oxy:HUSH", "http://::1:3128",
		"socks5://" + strings.Repeat("u", 256) + "@proxy.example.com:1080", "http://user:HUSH\r\n@proxy.example.com:1",
	} {
		got := faults(t, with("SMTP_SENDER_ADDRESS=jit@example.com", "ALL_PROXY="+text))
		if len(got) != 1 || got[0].Variable != "ALL_PROXY" {
			t.Errorf("%q: faults %v", text, got)
			continue
		}
		if says := got[0].Error(); strings.Contains(says, "HUSH") || strings.Contains(says, text) || !strings.Contains(says, "socks5://HOST:PORT") {
			t.Errorf("%q: the fault says %q", text, says)
		}
	}
}

func TestAMailServerByAddress(t *testing.T) {
	for host, want := range map[string]string{"[2001:db8::25]": "2001:db8::25", "2001:db8::25": "2001:db8::25", "[::1]": "::1", "192.0.2.25": "192.0.2.25"} {
		for _, variable := range []string{"SMTP_HOST=", "SMTP_OPTIONS=mail.smtp.host="} {
			if got := mustRead(t, "SMTP_SENDER_ADDRESS=jit@example.com", variable+host).Mail.Host; got != want {
				t.Errorf("%s%s is read as %q", variable, host, got)
			}
		}
	}
}

func TestHowMuchMailThereMayBe(t *testing.T) {
	c := mustRead(t, "SMTP_SENDER_ADDRESS=jit@example.com").Mail
	if c.MaxConnections != 3 || c.PerMinute != 30 {
		t.Errorf("%d connections, %d mails a minute", c.MaxConnections, c.PerMinute)
	}
	c = mustRead(t, "SMTP_SENDER_ADDRESS=jit@example.com", "SMTP_MAX_CONNECTIONS=1", "SMTP_MESSAGES_PER_MINUTE=10000").Mail
	if c.MaxConnections != 1 || c.PerMinute != 10000 {
		t.Errorf("%d connections, %d mails a minute", c.MaxConnections, c.PerMinute)
	}
	for _, entry := range []string{"SMTP_MAX_CONNECTIONS=0", "SMTP_MAX_CONNECTIONS=-1", "SMTP_MAX_CONNECTIONS=21", "SMTP_MAX_CONNECTIONS=many", "SMTP_MESSAGES_PER_MINUTE=0", "SMTP_MESSAGES_PER_MINUTE=-1", "SMTP_MESSAGES_PER_MINUTE=10001", "SMTP_MESSAGES_PER_MINUTE=0.5"} {
		if got := faults(t, with("SMTP_SENDER_ADDRESS=jit@example.com", entry)); len(got) != 1 {
			t.Errorf("%s: faults %v", entry, got)
		}
	}
}
