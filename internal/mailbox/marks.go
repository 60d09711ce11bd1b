package mailbox

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"

	"jitaccess/internal/access"
)

// Marks make the Message-IDs of our mails such that what says that it is about one of them can
// be told from what was made up: each ends in half an HMAC. Make them with NewMarks. Whoever has
// seen a mail knows its Message-ID, so that it proves nothing of who writes.
type Marks struct{ keys [][]byte }

// markLength is in bytes.
const markLength = 10

// NewMarks makes them out of secrets of the service, the newest first; at least one.
func NewMarks(secrets ...[]byte) (*Marks, error) {
	if len(secrets) == 0 {
		return nil, errors.New("no secret for Message-IDs")
	}
	m := &Marks{}
	for _, secret := range secrets {
		key, err := hkdf.Key(sha256.New, secret, nil, "jitaccess mail Message-ID 1", sha256.Size)
		if err != nil {
			return nil, err
		}
		m.keys = append(m.keys, key)
	}
	return m, nil
}

// MessageID is the Message-ID, without brackets, that begins with these words: the id of a request,
// in which + and / are %2B and %2F, and a dot behind it.
func (m *Marks) MessageID(words, domain string) string {
	return words + "." + mark(m.keys[0], words, domain) + "@" + domain
}

// RequestOf is the id of the request that a mail of ours with the Message-ID was about; false
// for a Message-ID that we have not made.
func (m *Marks) RequestOf(messageID string) (id string, ours bool) {
	local, domain, _ := strings.Cut(messageID, "@")
	at := strings.LastIndexByte(local, '.')
	if at < 0 {
		return "", false
	}
	words, said := local[:at], local[at+1:]
	for _, key := range m.keys {
		if hmac.Equal([]byte(said), []byte(mark(key, words, domain))) {
			id, _, _ = strings.Cut(words, ".")
			id, err := access.ParseRequestID(unescaped.Replace(id))
			return id, err == nil
		}
	}
	return "", false
}

func mark(key []byte, words, domain string) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(words + "@" + domain))
	return hex.EncodeToString(mac.Sum(nil)[:markLength])
}

var unescaped = strings.NewReplacer("%2B", "+", "%2F", "/")
