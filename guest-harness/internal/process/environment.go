package process

import (
	"os"
	"strconv"
	"strings"
)

// Environment is the primary's with what an exec adds: later values win. HOME is that of the exec's user, unless the
// exec says otherwise.
func Environment(primary, own []string, uid uint32) []string {
	all := map[string]string{}
	var order []string
	set := func(variable string) {
		name, _, _ := strings.Cut(variable, "=")
		if _, known := all[name]; !known {
			order = append(order, name)
		}
		all[name] = variable
	}
	for _, variable := range primary {
		set(variable)
	}
	if uid != 0 {
		set("HOME=" + homeOf(uid, "/etc/passwd"))
	}
	for _, variable := range own {
		set(variable)
	}
	env := make([]string, 0, len(order))
	for _, name := range order {
		env = append(env, all[name])
	}
	return env
}

// homeOf looks a user's home up (passwd(5)); / where the file does not know the user.
func homeOf(uid uint32, passwd string) string {
	text, err := os.ReadFile(passwd)
	if err != nil {
		return "/"
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Split(strings.TrimSuffix(line, "\n"), ":")
		if len(fields) == 7 && fields[2] == strconv.FormatUint(uint64(uid), 10) && strings.HasPrefix(fields[5], "/") {
			return fields[5]
		}
	}
	return "/"
}
