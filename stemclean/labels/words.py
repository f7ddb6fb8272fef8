"""Words in names of files, by class and instrument. Extend these lists for more synonyms.

Entries are in lower case, without accents, separated by semicolons or line breaks. A phrase is matched word by word,
however the words are joined (``lead vox``, ``Lead_Vox``, ``LeadVox``, ``LEADVOX``), and the longest phrase wins: "bass
clarinet" is not a bass. Plurals with an *s* need no entry. Words that are in no list are unknown.
"""

from __future__ import annotations

import re

__all__ = [
    "ABBREVIATIONS",
    "AMBIGUOUS",
    "CONNECTORS",
    "FOUR_STEMS",
    "GLUED",
    "LEAKED",
    "MIXTURE",
    "NEGATED_AFTER",
    "NEGATED_BEFORE",
    "NEUTRAL",
    "NOT_ALONE",
    "NUMBERED",
    "OF_FOLDERS",
    "REST",
    "TECHNIQUES",
    "VERSIONS",
    "WEAK",
    "WHOLE",
    "listed",
]


def listed(text: str) -> tuple[str, ...]:
    """Return the entries of a list separated by semicolons or line breaks."""
    return tuple(" ".join(part.split()) for part in re.split(r"[;\n]", text) if part.strip())


WHOLE = "whole"
"""The instrument of words that mean the class as a whole."""

FOUR_STEMS: dict[str, dict[str, str]] = {
    "vocals": {
        WHOLE: """vocal; vox; voc; vx; voice; vocalist; voices; singer; singing; sung; vocls; vcls; vocl
            gesang; stimme; stimmen; singstimme; sanger; sangerin; voz; voces; voix; voce; voci; vozes; zang
            wokal; вокал; вокала; голос; голоса; ボーカル; ヴォーカル; ボイス; ヴォイス; 歌声; 人声; 人聲; 보컬
            목소리; 歌; 声
            vokal; vokalen; vokale; vokaly; vokalist; golos; zpev; spiew; laulu; laulut; enek; cantante; cantor
            cantora; penyanyi; playback vocal; playback singer; playback vox; giong hat; вокали; голосу; спів
            φωνη; φωνητικα; foni; fonitika; שירה; זמרת; غناء
            男声; 女声; 男聲; 女聲; rensheng""",
        "lead": """lead vocal; lead vox; lead voc; lead voice; ld vox; ld voc; main vocal; main vox; lead singer
            lead male singer; lead female singer; solo vocal; solo voice; hauptgesang; leadgesang; voz principal
            voix principale; voce principale; リードボーカル; メインボーカル; 主唱; female vocal; male vocal
            female singer; male singer; female voice; male voice; canto""",
        "backing": """backing vocal; backing vox; backing voc; back vocal; back vox; backup vocal; backup vox
            background vocal; background vox; background voice; backing voice; bgv; bgvox; bkg vox; bkg voc
            bkg vocal; bg vox; bg voc; bg vocal; bk vox; bk voc; bck vox; bcking vox; bv; bvs; bvox; bvoc
            harmony vocal; harmony vox; harmony voc; harm vox; vocal harmony; vocal harmonies; vox harmony
            lead vcl; bg vcl; back vcl; backing vcl; ohs ahs; ahs ohs; oohs ohs; ohs and ahs
            gang vocal; gang vox; gang shout; yell; ooh; aah; oohs ahs; oo ah; hintergrundgesang
            hintergrundstimme; coros; coristas; backvocal; バックボーカル; コーラス; 코러스; бэк вокал; бэквокал
            bek vokal; bekvokal; chorki; geri vokal; taustalaulu; taustalaulut; achtergrondzang
            achtergrond zang; koorzang; bakgrundssang; ハモリ; 和声; 和聲; 伴唱; segunda voz; segundas voces
            zweitstimme
            hauptstimme; бек вокал""",
        "choir": """choir; human choir; satb; choral; chorale; kids choir; gospel choir; bass voice; bass vocal
            bass vox; bass singer; choir bass; chor; choeur; coro; cori; хор; 合唱; 合唱団; soprano voice
            frauenchor; mannerchor; kinderchor; knabenchor; damenchor; jugendchor; kirchenchor; gospelchor
            khor; koor; kuoro; kor; sbor; korus
            alto voice; tenor voice; baritone voice; alto vocal; tenor vocal; soprano vocal; baritone vocal
            tenor vox; alto vox; soprano vox; baritone vox; tenor singer; alto singer; soprano singer""",
        "rap": """rap; rapper; rapping; male rapper; female rapper; adlib; ad lib; ad libs; ad lib vox; chant
            scream; screaming; male screamer; female screamer; beatbox; beatboxing; beatboxer; whisper; humming
            yodel; spoken word; spoken; speech; dialogue; dialog; narration
            narrator; voice over; voiceover; male speaker; female speaker; ラップ; rap vocal""",
        "processed": """vocal chop; vox chop; voice chop; vocal double; vox double; vox dbl; vocal fx; vocal fxs
            vox fx; voice fx; vocal effect; vocal loop; vocal sample; vox sample; talkbox; talk box; vocoder
            vocal melody; vocal hook; vocal stack; vocal riff; vocal pluck""",
        "alone": """acapella; a cappella; acappella; accapella; a capella; acapela; acap; pella; アカペラ""",
        "soprano": "soprano; mezzo soprano; mezzosoprano; mezzo",
    },
    "bass": {
        WHOLE: """bass; bas gtr; bss; basse; basso; bajo; baixo; ベース; бас; баса; 贝斯; 貝斯; 베이스; basses
            bass section
            basszus; basowa; gitara basowa; basa; μπασο; בס; باص; 低音吉他; 贝司; 貝司; beisi; bas gitar; basgitar""",
        "electric": """bass di; bass amp; bass guitar; bassguitar; bass gtr; bass gt; bs gtr; bs gt; bsgtr
            ebass; e bass; elec bass; el bass; electric bass; fretless; fretless bass; slap bass; p bass; j bass
            jazz bass; music man bass; musicman bass; music man; musicman; pbass; jbass; bassgitarre; basgitaar
            bas gitara; bajo electrico; basso elettrico
            basse electrique; contrabaixo; ベースギター; бас гитара; ukulele bass; uke bass; guitar bass di
            bass vi; bs di
            bas gitara; basgitara; bas gitarr; basgitarr; basgitaar; bassgitar; baskytara; basszusgitar; elbas
            elbass; ezbass; ez bass; modo bass; trilian; trilian bass; moog sub; sub 37; subsequent 37; taurus
            moog taurus; 电贝斯; 電貝斯; 베이스기타""",
        "upright": """upright bass; double bass; doublebass; dbl bass; contrabass; contrabassist; standup bass
            stand up bass; acoustic bass; string bass; bowed bass; arco bass; kontrabass; contrabbasso
            contrebasse; contrabajo; コントラバス; ウッドベース; bass of instrings; bass of strings; double basses
            contrabasses; bass fiddle
            kontrabas; контрабас; 低音提琴; cb pizz; cb arco; pizz cb; arco cb; vc cb; cb section; bassi
            kontrabasso; contrabas""",
        "synth": """synth bass; synthbass; syn bass; bass synth; bass synthesizer; sub bass; subbass; reese
            reese bass; moog bass; acid bass; 808 bass; bass 808; key bass; keys bass; keyboard bass; bass keys
            bass key; bass pedal; bass station; wobble bass; wobble; synth sub; sub synth; シンセベース
            サブベース; bass loop; 303 bass; tb 303; minimoog bass; mini moog bass""",
        "line": """bassline; bass line; bass lick; bass riff; bass sample; bass hit; bass fx; bass effect
            tuba bass of brass; bassoon bass of woodwind; bass lead; bass pluck; bass arp; bass pad; bass solo
            lead bass; bass slide; bass fill""",
        "sub": "sub",
    },
    "drums": {
        WHOLE: """drum; drms; drm; drumset; drum set; drum kit; drumkit; full drumkit; acoustic drumkit; kit
            drumms; full acoustic drumkit; acoustic drum; electronic drum; elec drum; e drum; edrum; synth drum
            drum synth; live drum; drum bus; drum submix; drum mix; schlagzeug; batteria; bateria; batterie
            trummor; perkusja; ドラム; ドラムス; ドラムセット; барабаны; барабанов; ударные; ударных; 鼓; 爵士鼓
            드럼; drum track; trommel; trommeln; drum stem
            drummer; superior drummer; ezdrummer; ez drummer; slagwerk; slagverk; slagtoj; trommer; trommesett
            trommesaet; trumset; rummut; bici; bubny; bebny; bubnjevi; dobok; davul; bateri; udarnye; barabany
            baraban; барабан; ударні; барабани; бубњеви; τυμπανα; tympana; תופים; 鼓组; 鼓組; 架子鼓; lyomasoittimet
            gendang; kendang; กลอง; lodra""",
        "kick": """kick; kick drum; kickdrum; kik; kck; kic; kd; bd; bass drum; bassdrum; concert bass drum
            kick in; kick out; kick sub; bd sub; sub bd; 808 kick; kick 808; 909 kick; kick 909; bass drum 808
            bd 808; bd 909
            grosse caisse; bombo; bumbo; bass trommel; キック; バスドラム; バスドラ; bdrum; fuss trommel; beater
            cassa; gran cassa
            bochka; бочка; stopa; bastrumma; stortromme; grote trom; bassorumpu; kopak; 底鼓; 大鼓; 킥""",
        "snare": """snare; snare drum; snaredrum; snr; sd; snare top; snare bottom; snare up; snare down
            808 snare; 909 snare; snare 808; snare 909; sn top; sn bot; sn bottom; sn btm; sn up; sn dn; sn down
            sn under; sn mic; sn; snre; rim; rimshot; rim shot; side stick; sidestick; cross stick; crossstick
            xstick; x stick; piccolo snare; brush; brushes; caisse claire; redoblante; tarola; caixa; rullante
            スネア; スネアドラム; kleine trommel
            werbel; virvel; virveltrumma; virveli; skarptromme; lilletromme; virbl; kleine trom; малый барабан
            malyi baraban; malyy baraban; 军鼓; 軍鼓; 스네어; caja""",
        "hihat": """hat; hi hat; hihat; hhat; hh; highhat; high hat; h hat; closed hat; open hat; hat open
            hat closed; chh; ohh; charleston; ハイハット; hi hats; 808 hat; 909 hat; closed hh; open hh; hiihat
            хай хэт; хайхэт; хэт; 踩镲; 踩鑔; 하이햇; hihats""",
        "toms": """tom; tom tom; floor tom; flr tom; fl tom; rack tom; tomtom; ftom; f tom; rtom; roto tom
            rototom; tom floor; tom rack; concert tom; tom hi; tom lo; タム""",
        "cymbals": """cymbal; cym; cymb; ride; ride cymbal; ride bell; crash; crash cymbal; china cymbal
            splash; splash cymbal; sizzle cymbal; becken; platillo; platillos; cymbale; piatti; prato; pratos; シンバル
            tam tam; finger cymbal; suspended cymbal
            cymbaler; cymbali; bekkens; bekken; tarelki; тарелки; talerze; talerz; cinely; cinel; symbaalit
            cymbales; 镲; 镲片; 심벌""",
        "overheads": """overhead; over head; ovhd; ovhds; oh; ohs; ohl; ohr; oh l; oh r; drum oh; drum overhead
            オーバーヘッド""",
        "room": """room; drum room; drumroom; kit room; room mic; room mics; drum verb; drum reverb; rooms; rm""",
        "percussion": """percussion; perc; prc; perks; percussions; percusion; percussao; percussioni
            perkussion; パーカッション; auxiliary percussion; aux percussion; aux perc; a tonal percussion
            atonal percussion; hand percussion; hand perc; shaker; shkr; shk; egg shaker; caxixi; tambourine
            tambourines; tamb; tambo; tambor; tambores; pandereta; pandeiro; tamborim; tambourin; conga; bongo
            timbale; timbales; djembe; cajon; tabla; darbuka; darabuka; doumbek; dumbek; dhol; dholak; mridangam
            udu; ashiko; bata drum; taiko; bodhran; frame drum; talking drum; tenor drum; hand drum; tongue drum
            field drum; steel tongue drum; bass tabla; riq; daf; bendir; zarb; tombak; cuica; surdo; agogo
            agogo bell; repinique; ganza; guiro; guira; cabasa; maraca; maracas; claves; clave; castanet
            castanets; cowbell; cow bell; triangle; wood block; woodblock; temple block; vibraslap; ratchet
            rattle; rasp; whip; anvil; flexatone; washboard; spoons; sleigh bell; sleigh bells; jingle bells
            bell tree; bar chimes; mark tree; handclap; hand clap; clap; snap; finger snap; fingersnap
            finger click; foot stomp; stomp; stomps; body percussion; gong; gu; timpani; timp; timps; tympani
            kettle drum; pauke; pauken; rassel; schellenkranz; kuhglocke; snare shaker; sistrum; rainstick
            rain stick; quinto; tumba; tumbadora; zabumba; bombo leguino; berimbau; kanjira; ghatam; khol; daiko
            rik; tammorra
            perkusyon; перкуссия; perkussiya; perkusia; perkusie; perkusi; percussie; perkusjonalia; rebana
            dholki; manjira; nagara; janggu; 장구; 퍼커션; 打楽器; 太鼓; 和太鼓; 打击乐; 打擊樂; 手鼓
            tabla bayan; bayan tabla; schlaginstrument; schlaginstrumente; schlagwerk; alfaia; caxambu; atabaque
            palmas
            shekere; xequere; log drum; slit drum; bombo criollo; tasha; クラップ
            إيقاع; طبل; krakebs; qraqeb; adufe; triangel; triangolo; triangulo; tamburello; tamburin; tamburine
            pandero; bones; chime; chimes; wind chime; wind chimes; windchime; windchimes; tsuzumi; djun djun
            djundjun; dun dun; dundun; dunun; bata; hang drum; handpan; pan drum""",
        "machine": """drum machine; drummachine; drum loop; drumloop; drum break; drum sample; drum fill
            drum hit; breakbeat; break beat; beat; beats; beatz; tr 808; tr 909; tr808; tr909; tr 707; tr 606; 909
            linndrum; lm 1; linn drum; dmx drum; drum rack; drum pad; drum programming; programmed drum; drum prog
            simmons; perc loop; percussion loop; shaker loop; hat loop; top loop; tops loop; kick loop; snare loop
            trap hat""",
    },
    "other": {
        WHOLE: "other; others; otros; autres; andere; altri; outros; その他; 其他; 기타",
        "guitar": """guitar; gtr; gt; guit; gtar; gitr; guitare; guitares; gitarre; gitarren; guitarra
            guitarras; chitarra; chitarre; gitaar; gitarr; gitara; гитара; гитары; ギター; 吉他; egtr; agtr
            eguitar; e guitar; e gtr; e gt; a gtr; a guitar; ac gtr; acc gtr; ac guitar; el gtr; el guitar
            elec guitar; elec gtr; elgtr; elecgtr; acgtr; acoustic guitar; electric guitar; akustikgitarre
            e gitarre; egitarre; lead guitar; rhythm guitar; ldgtr; rhygtr; rhythmgtr; lap steel; lap steel guitar
            pedal steel; pedal steel guitar; steel guitar; slide guitar; slide; dobro; resonator; resophonic
            nylon; nylon string; baritone guitar; guitar synth; 12 string; twelve string; 12str; 6 string
            telecaster; stratocaster; les paul; strat; tele; ebow; e bow; lapsteel; pedalsteel; weissenborn
            hawaiian guitar; violao; viola caipira; requinto; エレキギター; アコースティックギター; アコギ; エレキ
            リードギター; power chord; ebow gtr; guitarron
            gitar; gitari; kitara; kitarat; kytara; kytary; gitary; γκιθαρα; κιθαρα; kithara; chitara; גיטרה
            جيتار; гітара; 电吉他; 電吉他; 木吉他; jita; 일렉기타; 어쿠스틱기타; 통기타; elgitarr; elgitar
            elguitar; กีตาร์""",
        "plucked": """banjo; mandolin; mando; mandola; theorbo; mandocello; ukulele; uke; ukelele; bouzouki; bazouki
            cavaquinho
            charango; cuatro; balalaika; lute; laud; oud; saz; baglama; sitar; sarod; veena; vina; tanpura
            tambura; tampura; koto; shamisen; samisen; biwa; pipa; guzheng; gu zheng; guqin; zheng; liuqin
            zhongruan; ruan; yueqin; sanxian; gayageum; geomungo; yangqin; dulcimer; hammered dulcimer; zither
            cimbalom; santoor; santur; qanun; kanun; kantele; psaltery; autoharp; harp; harfe; harpe; arpa; lyre
            kora; ngoni; gimbri; domra; bandura; tres; 三味線; 琴; 琵琶; 古筝; 古箏; 扬琴; ハープ; guitalele
            tenor banjo; tenor guitar
            balalayka; bandurria; timple; tiple; bandola; swarmandal; surbahar; phin; gottuvadhyam
            harpa; harfa; arpa celtica; عود; mandolino; mandoline; mandolina; dan tranh; tambur; 가야금
            거문고; 阮; 柳琴; 扬琴; 箜篌""",
        "piano": """piano; pno; pianoforte; grand piano; upright piano; toy piano; tack piano; prepared piano
            baby grand; steinway; bosendorfer; klavier; fluegel; flugel; пианино; фортепиано; ピアノ; 钢琴; 鋼琴
            피아노; honky tonk; felt piano; ukulele piano; pianos
            pianino; fortepian; piyano; zongora; klavir; рояль; πιανο; פסנתר; gangqin; pianoteq; ezkeys; ez keys
            keyscape; flygel; vleugel""",
        "keys": """keys; kys; keyboard; kbd; kybd; keybs; keyb; clavier; claviers; teclado; teclados; tastiera
            tastiere; toetsen; klawisze; клавиши; キーボード; 键盘; 鍵盤; rhodes; wurli; wurly; wurlitzer; epiano
            e piano; epno; e pno; electric piano; elec piano; el piano; dx7; clav; clavi; clavinet; harpsichord
            cembalo; hapischord; clavichord; celesta; celeste; organ; orgel; orgue; organo; オルガン
            electronic organ; electric organ; pipe organ; church organ; pump organ; hammond; b3; farfisa
            vox continental; vox organ; leslie; harmonium; melodica; mellotron; chamberlin; accordion; akkordeon
            accordeon; acordeon; fisarmonica; sanfona; bandoneon; concertina; squeezebox; cordovox; アコーディオン
            nord; rompler; other keys; synth organ
            klavesy; klavishnye; klavishi; клавишные; клавіші; klavye; klavijature; koskettimet; billentyu
            billentyuk; tangenter; πληκτρα; plhktra; plektra; קלידים; 건반; akordeon; accordeon; аккордеон; баян
            орган; orgona; dragspel; trekkspill; haitari; clape; orgulje
            orgao""",
        "synth": """synth; syn; synthesizer; synthesiser; synths; sintetizador; синтезатор; シンセ; 신스
            synth lead; synth pad; lead synth; synth fx; synth string; synth brass; synth arp; synth pluck
            synth stab; moog; minimoog; mini moog; juno; jupiter 8; prophet; prophet 5; arp 2600; odyssey; dx 7
            virus; serum; massive; korg; roland jv; oberheim; ob x; ob xa; supersaw; super saw; saw lead
            analog synth; modular synth; modular; theremin; ondes martenot; otamatone; stylophone; keytar
            chiptune; omnichord; pad synth; pad strings
            sintezator; synthetiseur; synthe; sintetizzatore; syntezator; synt; syntti; omnisphere; sylenth
            sylenth1; sytrus; 신디; 合成器; シンセサイザー; シンセリード; シンセパッド; синт""",
        "bowed": """string; strings; strgs; strg; strngs; str; strings section; string section; string quartet
            string ensemble; violin; vln; vlns; vn; vl; violins; violin section; fiddle; viola; vla; vlas
            viola section; violas; cello; celli; celo; cellos; vc; vcl; vcl cello; vlc; cello section; violoncello
            violonchelo; violoncelle; geige; geigen; violine; violinen; bratsche; violon; violons; violino
            violini; viool; скрипка; バイオリン; ヴァイオリン; 小提琴; ストリングス; cordes; cuerdas; cordas
            archi; streicher; 현악; viol; bass viol; viola da gamba; gamba; erhu; er hu; gaohu; zhonghu; jinghu
            morin khuur; sarangi; esraj; dilruba; kemenche; rebab; rebec; nyckelharpa; hardanger fiddle
            hurdy gurdy; hurdygurdy; orchestra; orch; orchester; orquesta; orchestre; symphony; orchestral
            other strings; pizz; pizzicato; 二胡; pizz strings; チェロ; musical saw; haegeum
            rabeca; rabel; skripka; скрипки; violonchel; виолончель; альты; keman; kemence; biola; housle
            smycce; skrzypce
            smyczki; wiolonczela; hegedu; vonosok; gudaci; violina; fiolin; fiol; stryk; strykere; strakar
            strak; viulu; jouset; strijkers; yaylilar; yaylılar; struny; strunnye; струнные; струнні; βιολι
            vioara; כינור; كمان; 弦乐; 弦樂; 大提琴; 中提琴; 현악기; 스트링; 바이올린; 첼로; 해금; 弦""",
        "brass": """brass; brass section; horn; horns; hrn; hrns; hn; horn section; french horn; f horn
            french horn section; fr horn; fhorn; waldhorn; alto horn; tenor horn; trumpet; trumpet section; tpt
            trp; trpt; tpts; trompete; trompeten; trompette; trompeta; trompetas; tromba; trombe; トランペット
            cornet; flugelhorn; flugel horn; fluegelhorn; flughorn; bugle; trombone; trombone section; tbn; trb
            trbn; tbns; bone; sackbut; posaune; posaunen; trombon; トロンボーン; bass trombone; tuba; tba
            sousaphone; euphonium; euph; baritone horn; helicon; ブラス; cuivres; metales; metais; ottoni; blaser
            blechblaser; bass tuba; bass trumpet; piccolo trumpet; shofar; conch; didgeridoo; didjeridu; alphorn
            alpenhorn; mellophone; brass hits
            truba; труба; тромбон; trompet; trumpeter; trubka; trabka; trumpeta; trompetti; trombita; trumpetti
            trombone bass; tbn bass; bass tbn; trb bass; bass trb; bassposaune; torvet; blas; blazers
            blaskapelle; dechy; духовые; dukhovye; валторна
            туба; τρομπετα; ottone; 铜管; 銅管; 小号; 小號; 长号; 圆号; 管乐; 管樂; 管楽器; 트럼펫; 金管
            トランペットセクション""",
        "woodwind": """woodwind; woodwinds; wind; winds; winds section; reed; reeds; sax; saxophone; saxes
            saxes section; saxophon; saxofon; saxofone; saxo; sax section; サックス; alto sax; tenor sax; bari sax
            baritone sax; soprano sax; bass sax; alto saxophone; tenor saxophone; baritone saxophone
            soprano saxophone; bass saxophone; barisax; altosax; tenorsax; flute; flutes; flute section; flt
            flauta; flauto; floete; flote; フルート; alto flute; bass flute; bamboo flute; wood flute
            wooden flute; native flute; pan flute; panflute; panpipe; panpipes; pan pipes; piccolo; picc; recorder
            blockflote; bass recorder; tin whistle; tinwhistle; whistle; penny whistle; low whistle; clarinet
            clarinet section; clar; clari; clt; bass clarinet; bassclarinet; bcl; clarinette; klarinette
            clarinetto; clarinete; クラリネット; contrabass clarinet; oboe; hautbois; oboen; english horn
            cor anglais; bassoon; bsn; bssn; fagott; fagot; fagotto; basson; contrabassoon; double bassoon
            harmonica; mouth harp; mouth organ; mundharmonika; bass harmonica; harmonica bass; blues harp; bagpipe
            bagpipes; uilleann pipes; uilleann; pipes; dudelsack; gaita; dizi; di zi; xiao; suona; sheng; hulusi
            bawu; shakuhachi; shinobue; ryuteki; hichiriki; bansuri; shehnai; nadaswaram; duduk; zurna; ney; quena
            zampona; siku; ocarina; kazoo; fife; flageolet; shawm; crumhorn; krummhorn; melodion; other wind
            other winds; 笛子; 笛; 尺八; vientos; sopros; fiati; holzblaser; ewi; wind synth; jaw harp; jews harp
            slide whistle
            zampogna; musette; ob d amore; oboe d amore; oboe da caccia; ob da caccia; clarinet bass; clar bass
            bass clar; flute bass; sax bass; saxophone bass; recorder bass
            saksofon; saksofoni; szaxofon; саксофон; 萨克斯; 색소폰; fleyta; flejta; флейта; flet; fletna; huilu
            flojt; floyte; fluit; furulya; fuvola; suling; seruling; sao truc; sopilka; dudy; klarnet; klarinet
            klarinett; кларнет; гобой; фагот; fagott; 木管; 长笛; 長笛; 单簧管; 唢呐; 플룻; 플루트; 木管楽器
            tulum; mizmar""",
        "mallets": """glockenspiel; glock; glocken; marimba; xylophone; xylo; xylofon; vibraphone; vibes
            vibraphon; vibraharp; tubular bells; tubular bell; bell; bells; church bell; hand bell; handbell
            crotale; crotales; kalimba; mbira; thumb piano; balafon; gamelan; steelpan; steel pan; steel drum
            bass marimba; mallet; mallets; music box; musicbox; carillon; glass harmonica; glass armonica
            toy glockenspiel; metallophone; lithophone; angklung""",
        "effects": """fx; sfx; sound effect; sound effects; sound fx; fx processed sound; processed sound
            effect; effects; riser; uplifter; downlifter; downer; impact; whoosh; reverse cymbal fx; transition
            transitions; turntable; turntables; scratches; scratch fx; dj scratch; sweep; ear candy; earcandy
            texture; atmosphere; atmos; atmo; drone""",
        "line": """pad; arp; arpeggio; arpeggiator; pluck; plucks; melody; melodies; chords; chord; stab; stabs
            riff; orch hit; orchestra hit; orchestral hit; counter melody; topline synth; sequence; sequencer; seq
            drone pad""",
        "groups": """other plucked; other sounds; sound alike; piano sound alike; horn stab
            acoustic guitar solo; brass stab; synth lead solo""",
    },
}
"""Class -> instrument -> its words."""

WEAK: frozenset[str] = frozenset(
    listed(
        """pad; arp; arpeggio; arpeggiator; pluck; plucks; melody; melodies; chords; chord; stab; stabs; riff
            fx; sfx; effect; effects; riser; impact; whoosh; sweep; transition; transitions; texture; atmosphere
            atmos; atmo; drone; slide; sub; room; rooms; rm; oh; ohs; ohl; ohr; oh l; oh r; overhead; over head; ovhd
            ovhds; beat; beats; kit; beatz; sequence; sequencer; seq; string; strings; str; soprano; mezzo; keys
            bell; bells; nylon; hat; strat; tele; spoken; speech; odyssey; resonator; pipes; wind; winds; reed
            reeds; whistle; bone; bones; brush; brushes; whip; gu; snap; clap; nord; virus; massive; serum
            prophet; juno; modular; leslie; b3; tres; xiao; ney; rattle; rasp; symphony; orch; orchestral
            drone pad; wobble; rim; bombo; pella; scream; whisper; shout; yell; chant; stomp; stomps; downer; sn
            kd; bd; sd; hh; recorder; beater; pizz; clave; triangle; bss; ear candy; turntable; turntables; mallet
            mallets; crash; ride; splash; chime; chimes; canto; voices; dialog; dialogue; cassa; percussion; perc"""
    )
)
"""Words over which all other words of a class take precedence: "Room" alone is drums, "Guitar Room" is a guitar."""

ABBREVIATIONS: dict[str, str] = {
    "dr": "drums",
    "drs": "drums",
    "vo": "vocals",
    "ba": "bass",
    "bas": "bass",
    "bs": "bass",
    "ob": "other",
    "bn": "other",
    "ep": "other",
    "key": "other",
    "fl": "other",
}
"""Words that mean a class only if they are the only words besides numbers and neutral words."""

AMBIGUOUS: tuple[str, ...] = listed(
    """vox pad; vocal pad; voice pad; choir pad; synth vox; synth voice; synth choir; choir synth; vox synth
            vocal synth; vocal up; vocal down; vox up; vox down; vocals up; vocals down
            rhythm section; pitched percussion; dnb; d n b; hang; talkback; cb; 808; 303; lead
            bass boosted; bass boost; bass boosting; drums up; drums down; bass up; bass down; sub drop
            sub boom; sub hit; sub impact; bass drop; voice of; sound of music; rock band
            vl vc"""
)
"""Phrases that mean no class, although their words do."""

MIXTURE: tuple[str, ...] = listed(
    """mixture; mix; full mix; fullmix; mixdown; mix down; mixed; master; mastered; mastering; unmastered
            full song; whole song; full track; stereo mix; premaster; pre master; remix; 2mix; 2 mix; two mix
            stereo out; main out; main mix; 2 track; two track; 2track; mastered mix; final mix; rough mix; mezcla
            mischung; mixage; missaggio; master bus; mix bus; mixbus; 2 bus; 2bus; ミックス; マスター; 混音
            ミックスダウン; original mix; 完成"""
)
"""Words for a file that contains the whole song."""

REST: tuple[str, ...] = listed(
    """instrumental; instrumentals; instrum; instru; instr; inst; instrument; instruments; karaoke
            accompaniment; accompaniments; accomp; accompany; accompanying; begleitung; acompanamiento
            accompagnement; accompagnamento; acompanhamento; backing track; backing tracks; backing music
            backingtrack; backtrack; backing; background music; bgm; music; minus one; minusone; playback; tv mix
            tv track; tv version; show mix; show track; practice track; play along; playalong; sing along
            singalong; band; residual; rest; off vocal; offvocal; カラオケ; オケ; インスト; インストゥルメンタル
            伴奏; 反주; 반주; минус; минусовка; инструментал; musik; musica; musique; オフボーカル; drumless track
            mr track; instrumentale"""
)
"""Words for a file that contains the song without something, mostly without the vocals."""

NOT_ALONE: frozenset[str] = frozenset(listed("backing; band; rest"))
"""Words of :data:`REST` that have this meaning only if the profile has a class of everything else."""

NEGATED_BEFORE: tuple[str, ...] = listed(
    """no; non; not; without; w o; wo; wout; minus; less; sans; ohne; sin; senza; sem; zonder; utan; uden; uten
            bez; без; kein; keine; pas de; all but; all except; everything but; everything except
            everything minus; all minus; everything without; all without; anything but; except; except for
            excluding; excl; ex; exclude; excludes; lacking; remove; removed; removing; mute; muted; muting; deleted
            subtract; subtracted; off; tout sauf; alles ausser; todo menos; tutto tranne; tudo menos; sauf; ausser
            menos; tranne; salvo; 无; 無; 去; nicht; minus the; cancelled; cancel; suppressed; absent; w out"""
)
"""Negations before a class: the class after them is not in the file."""

NEGATED_AFTER: tuple[str, ...] = listed(
    """removed; muted; off; less; free; minus; excluded; subtracted; deleted; cancelled; suppressed; out of mix
            gone; absent; left out; taken out; cut out; mute; entfernt; stumm; eliminada; eliminado; removida
            removido; retiree; supprimee; rimossa; ausgeblendet; missing; stripped; turned off; switched off
            not included; 抜き; なし; 無し; ぬき; レス; カット; 消音; 제거; off vocal"""
)
"""Negations after a class: the class before them is not in the file."""

TECHNIQUES: frozenset[str] = frozenset(listed("muted; mute"))
"""Negations that are playing techniques of an instrument of the class ``other``: "Muted Trumpet", "Palm Muted Gtr"."""

LEAKED: frozenset[str] = frozenset(listed("bleed; bleeding; spill; crosstalk; leak; leakage; trigger input"))
"""Words after a class that only bleeds into the file."""

VERSIONS: frozenset[str] = frozenset(listed("version; cover; edition; session; sessions; concerto; sonata; lesson"))
"""Words that make the class before them part of a title: "Song (Piano Version)"."""

CONNECTORS: frozenset[str] = frozenset(listed("and; or; n; und; oder; et; y; e; plus; with; mit; avec; con; nor; ni"))

NUMBERED: frozenset[str] = frozenset(
    listed("stem; stems; track; tracks; trk; raw; audio; part; file; channel; chan; ch; take")
)
"""Words that, followed by a number and alone in their part of a name, mark a file that is named by its number."""

OF_FOLDERS: frozenset[str] = frozenset(
    listed(
        """stem; stems; sample; samples; loop; loops; audio; wav; wave; files; only; clean; dry; wet; raw; solo
            all; track; tracks; and"""
    )
)
"""Words allowed beside a class in the name of a folder that gives its files their class; other words are a title."""

NEUTRAL: tuple[str, ...] = listed(
    """stem; stems; track; tracks; trk; sample; samples; loop; loops; audio; wav; wave; aif; aiff; flac; mp3
            file; files; only; clean; dry; wet; raw; solo; all; l; r; lr; c; m; s; x; left; right; center; centre
            mid; side; sides; mono; stereo; st; dual; di; d i; mic; mics; mike; amp; amped; reamp; reamped; re amp
            re amped; cab; cabinet; close; far; near; distant; top; tops; bottom; bot; btm; up; down; dn; under
            over; in; out; inside; outside; front; back; rear; hi; high; higher; lo; low; lower; middle; main
            take; takes; tk; comp; comped; dt; dbl; double; doubles; doubled; doubler; triple; quad; dup; copy
            edit; edited; final; fin; new; old; v; ver; rev; bounce; bounced; bnc; print; printed; prnt; bus; buss
            bs; grp; group; sum; submix; submaster; sub mix; aux; send; return; rtn; verb; reverb; rvb; delay; dly
            echo; plate; hall; chamber; spring; slap; slapback; throw; throws; compressed; parallel; para; crush
            crushed; smash; eq; eqd; tuned; tune; autotune; melodyne; processed; unprocessed; proc; fx; dist
            distorted; distortion; overdrive; od; drive; fuzz; wah; chorus; flange; flanger; phaser; tremolo
            crunch; heavy; soft; loud; quiet; verse; vrs; pre; prechorus; bridge; intro; outro; break; breakdown
            hook; refrain; drop; build; buildup; fill; fills; section; sect; ensemble; full; part; parts; pt; a; b
            the; of; i; ii; iii; iv; one; two; first; second; third; fourth; 1st; 2nd; 3rd; 4th; bpm; hz; khz; bit
            db; maj; min; major; minor; extra; xtra; alt; isolated; extracted; separated; ext; live; studio
            session; sess; acoustic; acou; acous; acst; ac; electric; elec; elect; el; electronic; acc; lead lo
            ld; rhythm; rhy; rhyt; rhym; rthm; male; female; human; kids; children; child; boy; girl; crowd; guide
            scratch; temp; demo; ref; backup; bg; bkg; bk; backing; harm; harmony; harmonies; unison; octave; oct
            picked; pick; finger; fingered; strum; strummed; strumming; palm; mutes; muted; power; chug; chugs
            swell; swells; feedback; noise; harmonic; harmonics; baritone; bari; tenor; alto; grand; upright; felt
            bowed; arco; spicc; spiccato; legato; staccato; long; short; open; closed; pedal; floor; flr; rack
            ring; ringing; hit; hits; one shot; oneshot; shots; roll; rolls; ghost; trig; trigger; triggered; midi
            virtual; vst; analog; digital; vintage; warm; bright; dark; big; small; fat; thin; wide; ambient
            ambience; amb; u47; u67; u87; sm57; sm58; md421; re20; d112; c414; ribbon; 57; 58; 421; 87; 414; 47
            fet; knee; cut; cuts; ooo; ms; xy; ortf; blumlein; pzm; stack; stacks; layer; layers; ride; rides
            riding; dub; dubs; overdub; ovd; phrase; line; lick; licks; riffs; tap; tapped; wah wah; picking
            arpeggiated; slow; fast; half; time; spoken; sung; etc; moog etc; links; rechts; mitte; derecha
            izquierda; gauche; droite; sinistra; destra; principal; akustisch; elektrisch; acustica; electrica
            elettrica; acoustique; electrique; electro; trap; hip hop; rock; funk; jazz"""
)
"""Words that mean no class and are not part of a title: microphones, sides, takes, processing, parts of a song."""

GLUED: frozenset[str] = frozenset(
    listed(
        """in; out; top; bottom; bot; btm; up; down; di; amp; mic; room; rm; bus; left; right; mono; stereo; dry
            wet; fx; verb; dt; dbl; double; doubles; hi; lo; low; high; mid; elec; electric; acoustic; ac; el; e
            rhythm; rhy; solo; clean; dist; loop; loops; stem; stems; track; tracks; only; main; back; backing; bg
            bkg; bk; lead; ld; ftrack; synth; syn; sub; open; closed; close; far; front; comp; print; harm
            harmony; female; male; bari; alto; tenor; pad; lr; fill; fills; trig; over; under; flr; floor; rack
            no; non; minus; less; removed; without; part; take; side; full"""
    )
)
"""Words that may be joined to a word of a class without a separator: ``KICKIN``, ``BASSDI``, ``NOVOX``."""
