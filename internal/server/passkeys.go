package server

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/passkey"
)

// Fields of forms that a browser's authenticator fills. Bytes are in Base64 for addresses,
// without padding, as in the JSON of WebAuthn.
const (
	fieldCredential    = "credential"
	fieldPublicKey     = "public-key"
	fieldAuthenticator = "authenticator-data"
	fieldClient        = "client-data"
	fieldSignature     = "signature"
	fieldNonce         = "nonce"
	fieldTime          = "time"
)

// ceremonyView is what a form needs for an authenticator.
type ceremonyView struct {
	Challenge, RelyingParty, Credentials, Nonce, Time, Text string
	// User names the person among the keys of their authenticator, without naming them.
	User string
}

func viewCeremony(c broker.Ceremony) *ceremonyView {
	user := sha256.Sum256([]byte("jitaccess passkey user 1 " + c.Person))
	return &ceremonyView{Challenge: base64URL(c.Challenge()), RelyingParty: c.RelyingParty,
		Credentials: strings.Join(access.Each(c.Credentials, base64URL), " "), Nonce: base64URL(c.Nonce),
		Time: c.At.UTC().Format(time.RFC3339), Text: c.Text(), User: base64URL(user[:])}
}

func base64URL(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// passkeysView is the page of somebody's passkeys and, for administrators, of everybody's.
type passkeysView struct {
	Frame
	// Warnings are of what was just done.
	Warnings    []string
	Own, Others []passkeyView
	// More are how many of others' come behind those that are shown, beginning at Next.
	More, Next int
	// Confirm is what is asked once more; nil otherwise.
	Confirm   *confirmKey
	Admin     bool
	Enrolment *ceremonyView
	Name      string
	MaxName   int
}

type passkeyView struct {
	broker.KeyOf
	Enrolled, Approved, Used *Moment
	// Mine is whether it is the viewer's.
	Mine bool
}

// confirmKey is a key that is to be approved or removed.
type confirmKey struct {
	passkeyView
	Approve bool
}

// keysShown is how many keys of others one page has.
const keysShown = 100

// passkeys shows them.
func (s *server) passkeys(r *http.Request) (page, error) {
	q, err := query(r)
	if err != nil {
		return page{}, err
	}
	from, err := wholeNumber(q, "from", 0, "from is the number of keys to pass over")
	if err != nil {
		return page{}, err
	}
	v, err := s.viewPasskeys(r)
	v.shown(from)
	return page{template: "passkeys", status: http.StatusOK, data: v}, err
}

func (s *server) viewPasskeys(r *http.Request) (passkeysView, error) {
	list, err := s.Broker.PasskeyList(r.Context(), callerOf(r))
	if err != nil {
		return passkeysView{}, err
	}
	view := func(k broker.KeyOf) passkeyView {
		v := passkeyView{KeyOf: k, Enrolled: s.moment(r, k.Passkey.Enrolled), Mine: k.Of == callerOf(r).Principal}
		if !k.Passkey.Approved.IsZero() {
			v.Approved = s.moment(r, k.Passkey.Approved)
		}
		if !k.Used.IsZero() {
			v.Used = s.moment(r, k.Used)
		}
		return v
	}
	damaged := access.Each(list.Damaged, func(d access.Damage) *access.Error { return d.Err })
	return passkeysView{Frame: s.frame(r, "passkeys.title"), Warnings: s.viewWarnings(r, damaged), Own: access.Each(list.Own, view),
		Others: access.Each(list.Others, view), Admin: list.Admin, Enrolment: viewCeremony(list.Enrolment), MaxName: passkey.MaxName}, nil
}

// shown leaves one page of keys of others.
func (v *passkeysView) shown(from int) {
	v.Others = v.Others[min(from, len(v.Others)):]
	v.More, v.Next = max(0, len(v.Others)-keysShown), from+keysShown
	v.Others = v.Others[:len(v.Others)-v.More]
}

// enrol adds a key that the viewer's authenticator has made.
func (s *server) enrol(r *http.Request) (page, error) {
	f, err := form(r)
	if err != nil {
		return page{}, err
	}
	c, err := creationIn(f)
	var warnings []*access.Error
	if err == nil {
		_, warnings, err = s.Broker.Enrol(r.Context(), callerOf(r), f.Get(access.FieldName), c)
	}
	if err == nil {
		return s.passkeysAfter(r, warnings), nil
	}
	v, failed := s.viewPasskeys(r)
	if failed != nil {
		return page{}, err
	}
	v.shown(0)
	status := s.blame(r, &v.Frame, err, access.FieldName)
	v.Name = f.Get(access.FieldName)
	return page{template: "passkeys", status: status, data: v}, nil
}

// passkeyAction approves or removes somebody's key. What nobody has confirmed, by the page's
// script or in a second step, is asked for once more, as an approval is (decide).
func (s *server) passkeyAction(approve bool,
	act func(*http.Request, access.Principal, string) ([]*access.Error, error)) func(*http.Request) (page, error) {
	return func(r *http.Request) (page, error) {
		f, err := form(r)
		if err != nil {
			return page{}, err
		}
		of, err := principal(f.Get(access.FieldPrincipal))
		if err != nil {
			return page{}, err
		}
		if f.Get("confirmed") == "" {
			return s.confirmPasskey(r, of, chi.URLParam(r, "id"), approve)
		}
		warnings, err := act(r, of, chi.URLParam(r, "id"))
		if err != nil {
			return page{}, err
		}
		return s.passkeysAfter(r, warnings), nil
	}
}

func (s *server) confirmPasskey(r *http.Request, of access.Principal, id string, approve bool) (page, error) {
	v, err := s.viewPasskeys(r)
	if err != nil {
		return page{}, err
	}
	all := slices.Concat(v.Own, v.Others)
	at := slices.IndexFunc(all, func(k passkeyView) bool { return k.Of == of && k.ID() == id })
	if at < 0 { // also of others, whose keys are for administrators alone
		return page{}, &access.Error{Kind: access.NotFound, Code: access.CodeUnknownPasskey}
	}
	v.Confirm = &confirmKey{all[at], approve}
	return page{template: "passkeys", status: http.StatusOK, data: v}, nil
}

// passkeysAfter is the page after something was done there: that it cannot be shown is no
// reason to say that it was not done.
func (s *server) passkeysAfter(r *http.Request, warnings []*access.Error) page {
	if len(notable(warnings)) > 0 {
		if v, err := s.viewPasskeys(r); err == nil {
			v.shown(0)
			v.Warnings = append(v.Warnings, s.viewWarnings(r, notable(warnings))...)
			return page{template: "passkeys", status: http.StatusOK, data: v}
		}
	}
	return redirect("/passkeys")
}

func (s *server) approvePasskey(r *http.Request, of access.Principal, id string) ([]*access.Error, error) {
	return s.Broker.ApprovePasskey(r.Context(), callerOf(r), of, id)
}

func (s *server) removePasskey(r *http.Request, of access.Principal, id string) ([]*access.Error, error) {
	return s.Broker.RemovePasskey(r.Context(), callerOf(r), of, id)
}

// signedParts reads what an authenticator has filled in; get returns a field.
type signedParts struct {
	get func(string) string
	err error
}

func (p *signedParts) bytes(field string) []byte {
	b, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(p.get(field), "="))
	if err != nil {
		p.err = badInput(field+" is not in Base64 for addresses", err)
	}
	return b
}

func (p *signedParts) time() time.Time {
	at, err := time.Parse(time.RFC3339, p.get(fieldTime))
	if err != nil {
		p.err = badInput("time is none", err)
	}
	return at.UTC()
}

// creationIn is what a browser has made; empty where it has made nothing.
func creationIn(f url.Values) (passkey.Creation, error) {
	if f.Get(fieldPublicKey) == "" {
		return passkey.Creation{}, nil
	}
	p := signedParts{get: f.Get}
	c := passkey.Creation{Credential: p.bytes(fieldCredential), PublicKey: p.bytes(fieldPublicKey),
		AuthenticatorData: p.bytes(fieldAuthenticator), ClientData: p.bytes(fieldClient), Nonce: p.bytes(fieldNonce), At: p.time()}
	return c, p.err
}

// assertionIn is what was signed; nil where nothing was.
func assertionIn(get func(string) string) (*access.Assertion, error) {
	if get(fieldSignature) == "" {
		return nil, nil
	}
	p := signedParts{get: get}
	a := &access.Assertion{Credential: p.bytes(fieldCredential), AuthenticatorData: p.bytes(fieldAuthenticator),
		ClientData: p.bytes(fieldClient), Signature: p.bytes(fieldSignature), Nonce: p.bytes(fieldNonce), At: p.time()}
	return a, p.err
}

// apiSigning is what an approver signs, for whoever does not use the page.
type apiSigning struct {
	Challenge    string   `json:"challenge"`
	RelyingParty string   `json:"relyingParty"`
	Credentials  []string `json:"credentials"`
	Nonce        string   `json:"nonce"`
	Time         string   `json:"time"`
	Text         string   `json:"text"`
}

// apiSignature is what was signed.
type apiSignature struct {
	Credential        string `json:"credential"`
	AuthenticatorData string `json:"authenticatorData"`
	ClientData        string `json:"clientData"`
	Signature         string `json:"signature"`
	Nonce             string `json:"nonce"`
	Time              string `json:"time"`
}

func (a apiSignature) assertion() (*access.Assertion, error) {
	fields := map[string]string{fieldCredential: a.Credential, fieldAuthenticator: a.AuthenticatorData, fieldClient: a.ClientData,
		fieldSignature: a.Signature, fieldNonce: a.Nonce, fieldTime: a.Time}
	return assertionIn(func(name string) string { return fields[name] })
}

// signing is what the viewer signs to approve a request that they were shown; nil where
// nothing is to be signed, or they cannot.
func (s *server) signing(r *http.Request, v broker.View, atMost time.Duration) (*ceremonyView, error) {
	if !v.Signature || v.NoKey != nil {
		return nil, nil
	}
	c, err := s.Broker.Signing(r.Context(), callerOf(r), v, atMost)
	if err != nil {
		return nil, err
	}
	return viewCeremony(c), nil
}
