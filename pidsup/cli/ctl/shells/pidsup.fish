# fish completion for pidsup; what is offered comes from pidsupctl.
function __pidsup_offers
    set -l before (commandline -opc)
    set -l current (commandline -ct)
    set -l offered (pidsupctl _complete fish $before "$current" 2>/dev/null)
    switch "$offered[1]"
        case :toml
            __fish_complete_path "$current" | string match -r '^[^\t]*(?:/|\.toml)(?:\t.*)?$'
        case :files
            __fish_complete_path "$current"
        case :commands
            complete -C "$current"
        case '*'
            printf '%s\n' $offered
    end
end
complete -c pidsup -f -k -a '(__pidsup_offers)'
