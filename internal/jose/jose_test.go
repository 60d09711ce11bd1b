package jose_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"

	"jitaccess/internal/jose"
)

func TestVerifyReturnsTheClaimsAsSigned(t *testing.T) {
	const text = `{"a":"ü","n":9007199254740993,"list":["x","y"],"in":{"b":1.5}}`
	for _, token := range []struct {
		algorithm jose.Algorithm
		text      string
	}{
		{jose.RS256, sign(rsaHeader, text, rsaKey())},
		{jose.ES256, sign(ecHeader, text, ecKey())},
		{jose.RS256, sign(`{"kid":"rsa","alg":"RS256"}`, text, rsaKey())},
	} {
		c, err := jose.Verify(context.Background(), token.text, token.algorithm, bothKeys())
		if err != nil {
			t.Errorf("%s: %v", token.algorithm, err)
			continue
		}
		if got := string(c["n"]) + string(c["list"]) + string(c["in"]); got != `9007199254740993["x","y"]{"b":1.5}` {
			t.Errorf("raw members %s", got)
		}
		if !c.Exactly("a", "n", "list", "in") || c.Exactly("a", "n", "list") || c.Exactly("a", "n", "list", "in", "x") ||
			c.Exactly("a", "n", "list", "A") {
			t.Error("Exactly does not tell the set of names")
		}
	}
}

func TestThreat09_AlgorithmIsPinned(t *testing.T) {
	keys := bothKeys()
	public := x509.MarshalPKCS1PublicKey(&rsaKey().PublicKey)
	secrets := [][]byte{nil, {}, public, rsaKey().N.Bytes(),
		pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: public})}
	for _, kid := range []string{"rsa", "ec"} {
		for _, alg := range []string{"none", "None", "NONE", "nOnE", "", "HS256", "HS384", "HS512", "RS384", "RS512", "PS256",
			"ES384", "ES512", "ES256K", "EdDSA", "rs256", "es256", "RS256 ", "RSA-OAEP", "dir"} {
			header := fmt.Sprintf(`{"alg":%q,"kid":%q,"typ":"JWT"}`, alg, kid)
			for _, key := range []any{nil, rsaKey(), ecKey()} {
				token := sign(header, payload, key)
				refuse(t, alg, token, jose.RS256, keys)
				refuse(t, alg, token, jose.ES256, keys)
			}
			for _, secret := range secrets {
				signed := encode([]byte(header)) + "." + encode([]byte(payload))
				mac := hmac.New(sha256.New, secret)
				mac.Write([]byte(signed))
				refuse(t, alg+" with a public key as the secret", signed+"."+encode(mac.Sum(nil)), jose.RS256, keys)
			}
		}
	}
	// Good tokens of the other algorithm, and a header that names one algorithm and
	// a key of the other.
	refuse(t, "ES256 token", sign(ecHeader, payload, ecKey()), jose.RS256, keys)
	refuse(t, "RS256 token", sign(rsaHeader, payload, rsaKey()), jose.ES256, keys)
	refuse(t, "RS256 with the key ec", sign(`{"alg":"RS256","kid":"ec"}`, payload, rsaKey()), jose.RS256, keys)
	refuse(t, "ES256 with the key rsa", sign(`{"alg":"ES256","kid":"rsa"}`, payload, ecKey()), jose.ES256, keys)
}

func TestThreat09_HeaderSaysNothingElse(t *testing.T) {
	keys := bothKeys()
	for _, header := range []string{
		`{}`, `[]`, `null`, `"x"`, ``, `{`, `{"alg":"RS256"}`, `{"kid":"rsa"}`, `{"alg":"RS256","typ":"JWT"}`,
		`{"alg":"RS256","kid":""}`, `{"alg":"RS256","kid":null}`, `{"alg":"RS256","kid":1}`, `{"alg":"RS256","kid":["rsa"]}`,
		`{"alg":"RS256","kid":"` + strings.Repeat("k", 129) + `"}`, `{"alg":"RS256","kid":"../rsa"}`, `{"alg":"RS256","kid":"RSA"}`,
		`{"alg":"RS256","kid":"rsa "}`, `{"alg":["RS256"],"kid":"rsa"}`, `{"alg":null,"kid":"rsa"}`, `{"alg":256,"kid":"rsa"}`,
		`{"ALG":"RS256","kid":"rsa"}`, `{"alg":"RS256","Kid":"rsa"}`, `{"alg":"RS256","` + "\u212A" + `id":"rsa"}`,
		`{"alg":"RS256","alg":"RS256","kid":"rsa"}`, `{"alg":"none","alg":"RS256","kid":"rsa"}`, `{"al\u0067":"none","alg":"RS256","kid":"rsa"}`,
		`{"alg":"RS256","kid":"x","kid":"rsa"}`, `{"alg":"RS256","kid":"rsa"}{}`, `{"alg":"RS256","kid":"rsa"},`,
		`{"alg":"RS256","kid":"rsa","typ":"JWE"}`, `{"alg":"RS256","kid":"rsa","typ":null}`, `{"alg":"RS256","kid":"rsa","typ":""}`,
		`{"alg":"RS256","kid":"rsa","typ":"at+jwt"}`, `{"alg":"RS256","kid":"rsa","typ":["JWT"]}`,
	} {
		refuse(t, header, sign(header, payload, rsaKey()), jose.RS256, keys)
	}
	for _, member := range []string{
		`"crit":[]`, `"crit":["b64"],"b64":false`, `"b64":true`, `"b64":false`, `"zip":"DEF"`, `"cty":"JWT"`, `"enc":"A128GCM"`,
		`"jku":"https://keys.example.com"`, `"jwk":{"kty":"oct","k":"AA"}`, `"x5u":"https://keys.example.com"`, `"x5c":["AA"]`,
		`"x5t":"AA"`, `"x5t#S256":"AA"`, `"epk":{}`, `"p2c":1000000000`, `"iss":"x"`, `"aud":"x"`, `"nonce":"x"`, `"":""`, `"TYP":"JWT"`,
	} {
		header := `{"alg":"RS256","kid":"rsa",` + member + `}`
		refuse(t, header, sign(header, payload, rsaKey()), jose.RS256, keys)
	}
}

func TestThreat09_SignatureMustBeOfTheNamedKey(t *testing.T) {
	keys := bothKeys()
	good := sign(rsaHeader, payload, rsaKey())
	head, _, _ := strings.Cut(good, ".")
	refuse(t, "another RSA key", sign(rsaHeader, payload, otherRSA()), jose.RS256, keys)
	refuse(t, "another EC key", sign(ecHeader, payload, otherEC()), jose.ES256, keys)
	refuse(t, "no signature", sign(rsaHeader, payload, nil), jose.RS256, keys)
	refuse(t, "no EC signature", sign(ecHeader, payload, nil), jose.ES256, keys)
	refuse(t, "another's signature", head+"."+encode([]byte(`{"iss":"me"}`))+good[strings.LastIndex(good, "."):], jose.RS256, keys)
	refuse(t, "an unpublished key", sign(`{"alg":"RS256","kid":"new"}`, payload, rsaKey()), jose.RS256, keys)
	signed := encode([]byte(ecHeader)) + "." + encode([]byte(payload)) + "."
	for _, size := range []int{1, 31, 32, 63, 64, 65, 70, 96, 128, 1000} {
		refuse(t, fmt.Sprintf("an EC signature of %d zero bytes", size), signed+encode(make([]byte, size)), jose.ES256, keys)
	}
}

func TestEveryChangedByteIsRefused(t *testing.T) {
	keys := bothKeys()
	for algorithm, token := range map[jose.Algorithm]string{
		jose.RS256: sign(rsaHeader, payload, rsaKey()),
		jose.ES256: sign(ecHeader, payload, ecKey()),
	} {
		if !accepted(token, algorithm, keys) {
			t.Fatalf("the %s token itself was refused", algorithm)
		}
		for i := range len(token) {
			for _, other := range []byte{token[i] ^ 1, token[i] ^ 2, token[i] ^ 0x20, token[i] ^ 0x80, '.', '=', '+', '/', '\n', '\r', 0} {
				if other == token[i] {
					continue
				}
				refuse(t, fmt.Sprintf("byte %d changed to %q", i, other), token[:i]+string([]byte{other})+token[i+1:], algorithm, keys)
			}
			refuse(t, fmt.Sprintf("byte %d left out", i), token[:i]+token[i+1:], algorithm, keys)
			refuse(t, fmt.Sprintf("a line break before byte %d", i), token[:i]+"\n"+token[i:], algorithm, keys)
		}
		for _, changed := range []string{token + "=", token + "A", token + ".", token + "\n", " " + token, "." + token, token + "." + token,
			strings.Replace(token, ".", "=.", 1), strings.Replace(token, ".", "==.", 1), "Bearer " + token} {
			refuse(t, "a token with something more", changed, algorithm, keys)
		}
	}
}

func TestClaimsAreReadStrictly(t *testing.T) {
	keys := bothKeys()
	for _, text := range []string{
		``, `null`, `[]`, `"x"`, `1`, `{`, `{"a":1}}`, `{"a":1} x`, `{"a":1}{"a":1}`, `{a:1}`, `{'a':1}`, `{"a":1,}`, `{"a":01}`, `{"a":NaN}`,
		`{"a":1,"a":1}`, `{"email":"a","em\u0061il":"b"}`, `{"a":{"b":1,"b":2}}`, `{"a":[{"b":1,"b":2}]}`, `{"a":[[{"b":{"c":1,"c":1}}]]}`,
		"{\"a\":\"\xff\"}", "{\"\xc3\":1}", "\ufeff{}",
		`{"a":` + strings.Repeat("[", 8) + strings.Repeat("]", 8) + `}`,
		strings.Repeat(`{"a":`, 9) + `1` + strings.Repeat(`}`, 9),
	} {
		refuse(t, text, sign(rsaHeader, text, rsaKey()), jose.RS256, keys)
	}
	for _, text := range []string{
		`{}`, `{"a":1,"A":2}`, `{"email":"a","EMAIL":"b"}`, ` {"a" : {"b":1}, "c" : {"b":1} } `,
		strings.Repeat(`{"a":`, 8) + `1` + strings.Repeat(`}`, 8),
	} {
		if !accepted(sign(rsaHeader, text, rsaKey()), jose.RS256, keys) {
			t.Errorf("%s was refused", text)
		}
	}
}

func TestClaimsHaveTheTypeAskedFor(t *testing.T) {
	c, err := jose.ParseClaims([]byte(`{"s":"x","empty":"","n":7,"neg":-7,"null":null,"float":1.0,"exp":1e3,"big":9223372036854775808,
		"list":["a"],"none":[],"mixed":["a",1],"nulls":[null],"o":{"a":1},"t":true,"quoted":"7"}`))
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"s", "empty", "n", "neg", "null", "float", "exp", "big", "list", "none", "mixed", "nulls", "o", "t", "quoted", "S", "missing"}
	for what, read := range map[string]struct {
		read func(string) error
		good string
	}{
		"String":  {func(n string) error { _, err := c.String(n); return err }, " s empty quoted "},
		"Strings": {func(n string) error { _, err := c.Strings(n); return err }, " list none "},
		"Int64":   {func(n string) error { _, err := c.Int64(n); return err }, " n neg "},
		"Object":  {func(n string) error { _, err := c.Object(n); return err }, " o "},
	} {
		for _, name := range names {
			if good := strings.Contains(read.good, " "+name+" "); (read.read(name) == nil) != good {
				t.Errorf("%s of %s (%s): %v", what, name, c[name], read.read(name))
			}
		}
	}
}

// Incident 13: splitting at dots cost memory in proportion to the input.
func TestThreat40_HugeTokensCostNothing(t *testing.T) {
	keys := bothKeys()
	for name, token := range map[string]string{
		"a megabyte of dots":    strings.Repeat(".", 1<<20),
		"a megabyte of letters": strings.Repeat("A", 1<<20),
		"8 KiB of dots":         strings.Repeat(".", jose.MaxToken),
		"8 KiB of letters":      strings.Repeat("A", jose.MaxToken),
		"nothing":               "",
	} {
		refuse(t, name, token, jose.RS256, keys)
		if n := testing.AllocsPerRun(10, func() { accepted(token, jose.RS256, keys) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	long := `{"a":"` + strings.Repeat("x", jose.MaxToken) + `"}`
	refuse(t, "a good token above the limit", sign(rsaHeader, long, rsaKey()), jose.RS256, keys)
	room := (jose.MaxToken - len(sign(rsaHeader, `{"a":""}`, rsaKey()))) * 3 / 4
	full := sign(rsaHeader, `{"a":"`+strings.Repeat("x", room)+`"}`, rsaKey())
	if !accepted(full, jose.RS256, keys) {
		t.Errorf("a good token of %d bytes was refused", len(full))
	}
}

func TestErrorsCarryNothingOfTheToken(t *testing.T) {
	const canary = "canary"
	keys := fixed(jwk("rsa", rsaKey(), nil))
	for _, token := range []string{
		sign(`{"alg":"RS256","kid":"`+canary+`"}`, payload, rsaKey()), sign(`{"alg":"`+canary+`","kid":"rsa"}`, payload, rsaKey()),
		sign(`{"alg":"RS256","kid":"rsa","`+canary+`":1}`, payload, rsaKey()), sign(rsaHeader, `{"`+canary+`":1,"`+canary+`":1}`, rsaKey()),
		sign(rsaHeader, canary, rsaKey()), canary + "." + canary + "." + canary, canary + "!." + canary + "." + canary, canary,
	} {
		if _, err := jose.Verify(context.Background(), token, jose.RS256, keys); err == nil || strings.Contains(err.Error(), canary) {
			t.Errorf("error %v", err)
		}
	}
}

func FuzzVerify(f *testing.F) {
	keys := bothKeys()
	good := map[string]bool{}
	for _, token := range []string{sign(rsaHeader, payload, rsaKey()), sign(ecHeader, payload, ecKey())} {
		good[token] = true
		f.Add(token)
	}
	for _, token := range []string{"", ".", "..", "...", "a.b.c", sign(`{"alg":"none"}`, payload, nil), sign(rsaHeader, payload, nil),
		sign(`{"alg":"RS256","kid":"rsa","crit":["b64"],"b64":false}`, payload, rsaKey()), strings.Repeat(".", 9000)} {
		f.Add(token)
	}
	f.Fuzz(func(t *testing.T, token string) {
		for _, a := range []jose.Algorithm{jose.RS256, jose.ES256} {
			if accepted(token, a, keys) && !good[token] {
				t.Errorf("accepted %q", token)
			}
		}
	})
}

func FuzzParseClaims(f *testing.F) {
	for _, text := range []string{`{}`, `{"a":1}`, `{"a":1,"A":2}`, `{"a":1,"a":2}`, `{"a":{"b":[{"c":null}]}}`, `{"a":"\ud800"}`, `null`, `{"":""}`,
		`{"a":1e400}`, strings.Repeat(`[`, 100), `{"\u0061":1,"a":2}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := jose.ParseClaims(text)
		if err != nil {
			return
		}
		// What was accepted holds every member once: as many colons at the top
		// level as members.
		if got := topLevelMembers(text); got != len(c) {
			t.Errorf("%q: %d members written, %d read", text, got, len(c))
		}
		for name := range c {
			c.String(name)
			c.Strings(name)
			c.Int64(name)
			c.Object(name)
		}
	})
}

// topLevelMembers counts the members of valid JSON, as a second reader would.
func topLevelMembers(text []byte) int {
	depth, members, quoted := 0, 0, false
	for i := 0; i < len(text); i++ {
		switch b := text[i]; {
		case quoted && b == '\\':
			i++
		case b == '"':
			quoted = !quoted
		case quoted:
		case b == '{' || b == '[':
			depth++
		case b == '}' || b == ']':
			depth--
		case b == ':' && depth == 1:
			members++
		}
	}
	return members
}

func BenchmarkVerify(b *testing.B) {
	keys := bothKeys()
	token := sign(rsaHeader, payload, rsaKey())
	for b.Loop() {
		if !accepted(token, jose.RS256, keys) {
			b.Fatal("refused")
		}
	}
}
