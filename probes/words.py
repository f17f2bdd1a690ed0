# SPDX-License-Identifier: Apache-2.0
"""What the probe tells its volunteer, in each of their languages: a table of texts. Pure.

Other texts (help, errors, log) are for whoever runs the program, and in English alone.
"""

from __future__ import annotations

LANGUAGES = ("en", "fr", "ru", "zh")
"""In the order of the columns below; the first is used where no other fits."""

_TEXTS: dict[str, tuple[str, str, str, str]] = {
    # What happened at a step. {layer} is a protocol's name and a space, or empty.
    "reset": (
        "{layer}connection reset",
        "connexion {layer}réinitialisée",
        "соединение {layer}сброшено",
        "{layer}连接被重置",
    ),
    "timeout": ("{layer}no answer", "{layer}aucune réponse", "{layer}нет ответа", "{layer}无响应"),
    "closed": (
        "{layer}connection closed",
        "connexion {layer}fermée",
        "соединение {layer}закрыто",
        "{layer}连接被关闭",
    ),
    "refused": (
        "{layer}connection refused",
        "connexion {layer}refusée",
        "в соединении {layer}отказано",
        "{layer}连接被拒绝",
    ),
    "unreachable": ("no route", "pas de route", "нет маршрута", "网络不可达"),
    "certificate": (
        "not the service's certificate",
        "le certificat n'est pas celui du service",
        "сертификат не принадлежит сервису",
        "证书不属于该服务",
    ),
    "handshake": (
        "{layer}handshake failed",
        "échec de la négociation {layer}",
        "сбой согласования {layer}",
        "{layer}握手失败",
    ),
    "no_name": (
        "DNS says that the name does not exist",
        "le DNS dit que le nom n'existe pas",
        "DNS отвечает, что такого имени нет",
        "DNS 称该域名不存在",
    ),
    "no_dns": (
        "no answer from DNS",
        "aucune réponse du DNS",
        "DNS не отвечает",
        "DNS 无响应",
    ),
    "bad_dns": (
        "DNS gives no address",
        "le DNS ne donne pas d'adresse",
        "DNS не даёт адреса",
        "DNS 未返回地址",
    ),
    "legal": (
        "unavailable for legal reasons (451)",
        "indisponible pour raisons légales (451)",
        "недоступно по юридическим причинам (451)",
        "因法律原因不可用（451）",
    ),
    "foreign": (
        "the answer is not the app's",
        "la réponse n'est pas celle de l'application",
        "ответ не от приложения",
        "响应并非来自该应用",
    ),
    "other": ("failed ({detail})", "échec ({detail})", "сбой ({detail})", "失败（{detail}）"),
    "by_name": (
        "{cause} when the name appears",
        "{cause} quand le nom apparaît",
        "{cause}, когда появляется имя",
        "出现域名时{cause}",
    ),
    # A line of a service.
    "works": ("{names} works", "{names} fonctionne", "{names} — работает", "{names}正常"),
    "work": ("{names} work", "{names} fonctionnent", "{names} — работают", "{names}正常"),
    "all_work": (
        "works ({count} functions)",
        "fonctionne ({count} fonctions)",
        "работает (функций: {count})",
        "正常（{count} 项功能）",
    ),
    "and_more": (
        "{names} and {count} more",
        "{names} et {count} autres",
        "{names} и ещё {count}",
        "{names}等 {count} 项",
    ),
    "partly": (
        "{cause} at some addresses",
        "{cause} à certaines adresses",
        "{cause} по некоторым адресам",
        "部分地址{cause}",
    ),
    "offline": (
        "this machine is offline, none of the well-known hosts answers: check its connection, and "
        "whether the network asks you to log in",
        "cette machine est hors ligne, aucun des hôtes connus ne répond : vérifiez sa connexion, "
        "et si le réseau demande de s'identifier",
        "этот компьютер не в сети, не отвечает ни один из известных узлов: проверьте подключение "
        "и не требует ли сеть входа",
        "本机离线，所有常用主机均无响应：请检查网络连接，以及网络是否要求登录",
    ),
    # What the volunteer should know, and do.
    "revoked": (
        "revoked: ask your operator",
        "révoquée : adressez-vous à votre opérateur",
        "отозван: обратитесь к оператору",
        "已被撤销：请联系运营者",
    ),
    "is_paused": (
        "paused: `reachprobe resume` goes on",
        "en pause : `reachprobe resume` pour reprendre",
        "приостановлен: `reachprobe resume` продолжит",
        "已暂停：运行 `reachprobe resume` 以继续",
    ),
    "is_metered": (
        "metered connection: it measures less or nothing (see --metered)",
        "connexion facturée au volume : il mesure moins, ou rien (voir --metered)",
        "лимитное подключение: измеряет реже или не измеряет (см. --metered)",
        "按流量计费的连接：减少或停止测量（见 --metered）",
    ),
    "is_offline": (
        "this machine is offline: check its connection; measurements wait on disk",
        "cette machine est hors ligne : vérifiez sa connexion ; les mesures attendent sur disque",
        "этот компьютер не в сети: проверьте подключение; измерения ждут на диске",
        "本机离线：请检查网络连接；测量结果保存在磁盘上等待发送",
    ),
    "is_away": (
        "the broker has been away for {minutes} min: measurements wait on disk; tell your operator "
        "if it lasts a day",
        "le serveur est injoignable depuis {minutes} min : les mesures attendent sur le disque ; "
        "prévenez votre opérateur si cela dure un jour",
        "сервер недоступен уже {minutes} мин: измерения ждут на диске; сообщите оператору, если "
        "это длится больше суток",
        "服务器已失联 {minutes} 分钟：测量结果保存在磁盘上；若持续一天请告知运营者",
    ),
    "is_fast": (
        "the clock of this machine is {minutes} min fast: set it, e.g. `timedatectl set-ntp true`",
        "l'horloge de cette machine avance de {minutes} min : réglez-la, par exemple par "
        "`timedatectl set-ntp true`",
        "часы этого компьютера спешат на {minutes} мин: переведите их, например командой "
        "`timedatectl set-ntp true`",
        "本机时钟快 {minutes} 分钟：请校准，例如 `timedatectl set-ntp true`",
    ),
    "is_slow": (
        "the clock of this machine is {minutes} min slow: set it, e.g. `timedatectl set-ntp true`",
        "l'horloge de cette machine retarde de {minutes} min : réglez-la, par exemple par "
        "`timedatectl set-ntp true`",
        "часы этого компьютера отстают на {minutes} мин: переведите их, например командой "
        "`timedatectl set-ntp true`",
        "本机时钟慢 {minutes} 分钟：请校准，例如 `timedatectl set-ntp true`",
    ),
    # Functions of a service; others are shown by their ids.
    "messaging": ("messaging", "messages", "сообщения", "消息"),
    "web": ("web", "web", "веб", "网页"),
    "login": ("login", "connexion au compte", "вход", "登录"),
    "media": ("media", "médias", "медиа", "媒体"),
    "calls": ("calls", "appels", "звонки", "通话"),
    "push": ("push", "notifications", "уведомления", "推送"),
    "site": ("site", "site", "сайт", "官网"),
    "links": ("links", "liens", "ссылки", "链接"),
    "files": ("files", "fichiers", "файлы", "文件"),
    "images": ("images", "images", "изображения", "图片"),
    "games": ("games", "jeux", "игры", "游戏"),
    "pay-web": ("pay pages", "pages de paiement", "страницы оплаты", "支付页面"),
    "pay-merchant": ("merchant payments", "paiement marchand", "приём платежей", "商户支付"),
    "mini-programs": ("mini programs", "mini-programmes", "мини-программы", "小程序"),
    "official-accounts": (
        "official accounts", "comptes officiels", "официальные аккаунты", "公众号",
    ),
    # The local page.
    "title": (
        "What this probe saw",
        "Ce que cette sonde a vu",
        "Что увидел этот зонд",
        "本探针所见",
    ),
    "only_here": (
        "Only this machine can open this page. It shows what was observed here, not whether "
        "something is blocked: the monitor decides that by comparing with other places.",
        "Seule cette machine peut ouvrir cette page. Elle montre ce qui a été observé ici, pas si "
        "quelque chose est bloqué : le moniteur en juge en comparant avec d'autres lieux.",
        "Эту страницу может открыть только этот компьютер. Она показывает, что наблюдалось здесь, "
        "а не заблокировано ли что-то: об этом судит монитор, сравнивая с другими местами.",
        "只有本机能打开此页面。它显示在此观察到的情况，而非是否被封锁：监测端会与其他地点比较后判断。",
    ),
    "state": ("State", "État", "Состояние", "状态"),
    "working": ("working", "en marche", "работает", "运行中"),
    "paused": ("paused", "en pause", "приостановлен", "已暂停"),
    "network": ("Network", "Réseau", "Сеть", "网络"),
    "last_round": ("Last round", "Dernière série", "Последний цикл", "上一轮"),
    "next_round": ("Next round", "Prochaine série", "Следующий цикл", "下一轮"),
    "traffic": ("Traffic this month", "Trafic de ce mois", "Трафик за месяц", "本月流量"),
    "so_far": (
        "{spent} MB so far, about {month} MB in the whole month",
        "{spent} Mo jusqu'ici, environ {month} Mo sur tout le mois",
        "{spent} МБ до сих пор, около {month} МБ за весь месяц",
        "已用 {spent} MB，全月约 {month} MB",
    ),
    "nothing_yet": (
        "Nothing has been measured yet.",
        "Rien n'a encore été mesuré.",
        "Пока ничего не измерено.",
        "尚未进行测量。",
    ),
}  # fmt: skip


def say(language: str, key: str, **values: object) -> str:
    """Return a text in a language, English for an unknown one."""
    column = LANGUAGES.index(language) if language in LANGUAGES else 0
    return _TEXTS[key][column].format(**values)


def function_name(language: str, target: str) -> str:
    """Return the name of a target's function, its id where there is no name."""
    function = target.partition("/")[2]
    return say(language, function) if function in _FUNCTIONS else function


_FUNCTIONS = frozenset(
    (
        "messaging",
        "web",
        "login",
        "media",
        "calls",
        "push",
        "site",
        "links",
        "files",
        "images",
        "games",
        "pay-web",
        "pay-merchant",
        "mini-programs",
        "official-accounts",
    )
)


def language_of(wanted: str) -> str:
    """Return the language for an Accept-Language header or a locale (`ru_RU.UTF-8`): the first one
    named that there is, else English. Weights are in order in practice and are not read."""
    for part in wanted.replace("_", "-").split(","):
        word = part.partition(";")[0].partition(".")[0].partition("-")[0].strip().lower()
        if word in LANGUAGES:
            return word
    return LANGUAGES[0]
