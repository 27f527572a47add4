# SPDX-License-Identifier: BSD-2-Clause
# bash completion for nestkvm(1): the options come from --help, so that they are always right.

_nestkvm_options() {
	nestkvm "$1" --help 2>/dev/null | grep -oE '(^|[ ,])--?[a-z][a-z0-9-]*' | tr -d ' ,'
}

_nestkvm() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} command=${COMP_WORDS[1]}

	if [ "$COMP_CWORD" = 1 ]; then
		mapfile -t COMPREPLY < <(compgen -W "$(nestkvm help 2>/dev/null | sed -n 's/^  \([a-z]*\) .*/\1/p')" -- "$cur")
		return
	fi
	case $prev in
	--accel) mapfile -t COMPREPLY < <(compgen -W "auto kvm soft" -- "$cur") ;;
	--console) mapfile -t COMPREPLY < <(compgen -W "serial virtio none" -- "$cur") ;;
	--net | -n) mapfile -t COMPREPLY < <(compgen -W "user none tap=" -- "$cur") ;;
	--cpu) mapfile -t COMPREPLY < <(compgen -W "$(nestkvm run --cpu help 2>/dev/null | awk '/^  /{print $1}')" -- "$cur") ;;
	*)
		if [[ $cur == -* ]]; then
			mapfile -t COMPREPLY < <(compgen -W "$(_nestkvm_options "$command")" -- "$cur")
		else
			mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		fi
		;;
	esac
}
complete -o filenames -F _nestkvm nestkvm
