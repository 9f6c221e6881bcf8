# fish completion for pidsupctl; what is offered comes from pidsupctl itself.
function __pidsupctl_offers
    set -l before (commandline -opc)
    set -l current (commandline -ct)
    set -l offered (pidsupctl _complete fish $before "$current" 2>/dev/null)
    switch "$offered[1]"
        case :files
            __fish_complete_path "$current"
        case :commands
            complete -C "$current"
        case :hosts
            __fish_print_hostnames
        case '*'
            printf '%s\n' $offered
    end
end
complete -c pidsupctl -f -k -a '(__pidsupctl_offers)'
