package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
)

// maxPrivate is more than a token has.
const maxPrivate = 64 << 10

// privateFile reads a secret that somebody keeps in a file, without the line breaks at its end. A file that
// others may read is refused: what is in it is not a secret. Windows does not tell by the mode.
func privateFile(name string) (string, error) {
	file, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer file.Close()
	info, err := file.Stat()
	switch {
	case err != nil:
		return "", err
	case !info.Mode().IsRegular():
		return "", fmt.Errorf("%s is not a file", name)
	case runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0:
		return "", fmt.Errorf("others may read %s (mode %04o): chmod 600 %s, and replace what is in it if they could have read it",
			name, info.Mode().Perm(), name)
	case info.Size() > maxPrivate:
		return "", fmt.Errorf("%s has more than %d bytes", name, maxPrivate)
	}
	content, err := io.ReadAll(io.LimitReader(file, maxPrivate))
	text := strings.TrimRight(string(content), "\r\n")
	if err == nil && text == "" {
		err = errors.New(name + " is empty")
	}
	return text, err
}
